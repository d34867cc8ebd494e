"""The active configuration and its provider clients; replacing it keeps the state of unchanged providers."""

from __future__ import annotations

from collections.abc import Callable

from trunkline_llm_gateway.application.provider_client import ProviderClient
from trunkline_llm_gateway.core.breaker import BreakerPolicy
from trunkline_llm_gateway.core.config import GatewayConfig, ProviderConfig, RouteConfig
from trunkline_llm_gateway.ports import Provider, ProviderError

FALLBACK_PROVIDER = ProviderConfig(name="extractive", kind="extractive")
"""Always available: it needs no configuration, network or budget."""


class ProviderRegistry:
    """Provider clients by name."""

    def __init__(
        self,
        config: GatewayConfig,
        make: Callable[[ProviderConfig], Provider],
        rng: Callable[[], float],
        *,
        policy: BreakerPolicy | None = None,
    ) -> None:
        """`make` builds the adapter of a provider; `rng` returns a random number from 0 to 1."""
        self._make = make
        self._rng = rng
        self._policy = policy
        self.config = config
        self._clients = {provider.name: self._make_client(provider) for provider in config.provider}
        extractive = next((client for client in self._clients.values() if client.config.kind == "extractive"), None)
        self.fallback = extractive or self._make_client(FALLBACK_PROVIDER)

    def client(self, name: str) -> ProviderClient:
        """Return the client of a provider; raise `ProviderError` if a new configuration has removed it."""
        try:
            return self._clients[name]
        except KeyError:
            raise ProviderError("open", f"{name}: provider is no longer configured") from None

    def first_token_s(self, name: str) -> float:
        """Return a provider's usual time to first token in seconds, 0 before its first call."""
        return self._clients[name].limit.baseline_s if name in self._clients else 0.0

    def hedge_delay_s(self, route: RouteConfig, name: str) -> float:
        """Return the seconds after which a call of a provider is hedged, 0 if the route does not hedge."""
        if route.hedge_after_ms <= 0:
            return 0.0
        latency = self.client(name).first_token_latency
        percentile_ms = latency.percentile(route.hedge_percentile) if route.hedge_percentile else 0.0
        return max(route.hedge_after_ms, percentile_ms) / 1000

    def states(self) -> dict[str, str]:
        """Return the state of every circuit breaker by provider and model."""
        return {f"{client.name}/{model}": state for client in self._all() for model, state in client.states().items()}

    @property
    def outside(self) -> int:
        """Number of calls at models; the extractive provider, which computes here, does not count."""
        return sum(client.in_flight for client in self._all() if client.config.kind != "extractive")

    @property
    def oldest_wait_s(self) -> float:
        """Time for which the oldest call has waited for a permit, in seconds."""
        return max(client.oldest_wait_s for client in self._all())

    def replace(self, config: GatewayConfig) -> list[ProviderClient]:
        """Activate another configuration; return the clients that are no longer used."""
        before = self._clients
        self._clients = {
            provider.name: before[provider.name]
            if provider.name in before and before[provider.name].config == provider
            else self._make_client(provider)
            for provider in config.provider
        }
        self.config = config
        return [client for name, client in before.items() if self._clients.get(name) is not client]

    async def warm(self) -> None:
        """Open a connection to every provider."""
        for client in self._all():
            await client.provider.warm()

    async def close(self) -> None:
        """Close all connections."""
        for client in self._all():
            await client.close()

    def _all(self) -> list[ProviderClient]:
        clients = list(self._clients.values())
        return clients if self.fallback in clients else [*clients, self.fallback]

    def _make_client(self, config: ProviderConfig) -> ProviderClient:
        return ProviderClient(self._make(config), config, self._rng, policy=self._policy)

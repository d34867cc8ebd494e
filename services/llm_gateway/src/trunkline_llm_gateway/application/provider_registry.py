"""The configuration in force and its providers; replaced while calls run, without losing what is known of who stays."""

from __future__ import annotations

from collections.abc import Callable

from trunkline_llm_gateway.application.provider_client import ProviderClient
from trunkline_llm_gateway.core.breaker import BreakerPolicy
from trunkline_llm_gateway.core.config import GatewayConfig, ProviderConfig
from trunkline_llm_gateway.ports import Provider, ProviderError

LAST_RESORT = ProviderConfig(name="extractive", kind="extractive")
"""Always there: it needs no configuration, no network and no money."""


class ProviderRegistry:
    """Pools by name."""

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
        self._pools = {provider.name: self._pool(provider) for provider in config.provider}
        built_in = next((pool for pool in self._pools.values() if pool.config.kind == "extractive"), None)
        self.last_resort = built_in or self._pool(LAST_RESORT)

    def pool(self, name: str) -> ProviderClient:
        """Return the pool of a configured provider; raises `ProviderError` for one that has just been taken out."""
        try:
            return self._pools[name]
        except KeyError:
            raise ProviderError("open", f"{name}: is not configured any more") from None

    def first_token_s(self, name: str) -> float:
        """How long a provider lately took to its first token; 0 when it was not asked yet."""
        return self._pools[name].limit.usual_s if name in self._pools else 0.0

    def states(self) -> dict[str, str]:
        """State of every breaker, by provider and model."""
        return {f"{pool.name}/{model}": state for pool in self._all() for model, state in pool.states().items()}

    def replace(self, config: GatewayConfig) -> list[ProviderClient]:
        """Put another configuration into force; returns the pools that are no longer needed."""
        before = self._pools
        self._pools = {
            provider.name: before[provider.name]
            if provider.name in before and before[provider.name].config == provider
            else self._pool(provider)
            for provider in config.provider
        }
        self.config = config
        return [pool for name, pool in before.items() if self._pools.get(name) is not pool]

    async def warm(self) -> None:
        """Open a connection to every provider."""
        for pool in self._all():
            await pool.provider.warm()

    async def close(self) -> None:
        """Give all connections free."""
        for pool in self._all():
            await pool.close()

    def _all(self) -> list[ProviderClient]:
        pools = list(self._pools.values())
        return pools if self.last_resort in pools else [*pools, self.last_resort]

    def _pool(self, config: ProviderConfig) -> ProviderClient:
        return ProviderClient(self._make(config), config, self._rng, policy=self._policy)

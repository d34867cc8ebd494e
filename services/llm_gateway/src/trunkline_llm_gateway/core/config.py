"""Which providers there are and in what order they are asked: a TOML file, checked whole, refused whole."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Kind = Literal["openai", "anthropic", "extractive", "simulated"]
Strategy = Literal["priority", "cheapest", "fastest", "weighted"]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]

IN_PROCESS: frozenset[Kind] = frozenset({"extractive", "simulated"})
"""Providers that send nothing anywhere."""

UNBOUND: frozenset[str] = frozenset({"", "local"})
"""Regions of a conversation that bind it to none, unless `[residency]` says otherwise."""

NOTICE = "Our writing assistant cannot be reached right now, so this is what our help articles say."


class ConfigError(ValueError):
    """The configuration is not usable; the message says file, key and reason."""


class ProviderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[provider]]`. Times in seconds unless the name says otherwise, costs in US dollars."""

    name: Name
    kind: Kind
    base_url: str = ""
    api_key_env: str = ""
    api_key_file: str = ""
    models: list[str] = []
    region: str = ""
    max_concurrency: Annotated[int, Meta(ge=1)] = 64
    max_waiting: Annotated[int, Meta(ge=0)] = 256
    """Calls that may wait for a free place; more go elsewhere."""
    input_cost_per_million: NotNegative = 0.0
    output_cost_per_million: NotNegative = 0.0
    connect_timeout_s: Positive = 2.0
    first_token_timeout_s: Positive = 10.0
    idle_timeout_s: Positive = 10.0
    total_timeout_s: Positive = 60.0
    continues: Literal["no", "prefill", "vllm"] = "no"
    """Whether it can go on with a text that another one began: by a last message of the assistant ("prefill"), with
    vLLM's parameters for it ("vllm"), or not at all."""
    tools: bool = True
    # Only for kind "simulated": lognormal distributions by median and sigma.
    first_token_ms_median: Positive = 200.0
    first_token_sigma: NotNegative = 0.4
    tokens_per_s: Positive = 80.0
    tokens_median: Positive = 60.0
    tokens_sigma: NotNegative = 0.4
    seed: int = 1

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing."""
        return self.input_cost_per_million == 0 and self.output_cost_per_million == 0

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """US dollars for so many tokens."""
        return (input_tokens * self.input_cost_per_million + output_tokens * self.output_cost_per_million) / 1e6


class RouteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[route]]`: providers, and by what rule they are ordered."""

    name: Name
    providers: Annotated[list[str], Meta(min_length=1)]
    strategy: Strategy = "priority"
    weights: list[Positive] = []
    """For "weighted": one for each provider."""
    hedge_after_ms: NotNegative = 0.0
    """A second provider is asked as well when the first token takes longer; 0 = never."""
    hedge_percentile: Annotated[float, Meta(ge=0, lt=100)] = 0.0
    """And longer than this percentile of that provider's recent first tokens; 0 = hedge_after_ms alone."""


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[budget]]`: what a tenant may spend a day (UTC); `*` is every tenant without one of its own."""

    tenant: Annotated[str, Meta(min_length=1)]
    usd_per_day: Positive
    warn_at: Annotated[float, Meta(gt=0, le=1)] = 0.8


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    provider: Annotated[list[ProviderConfig], Meta(min_length=1)]
    route: list[RouteConfig] = []
    budget: list[BudgetConfig] = []
    residency: dict[str, list[str]] = {}
    """Region of a conversation -> regions of providers that may serve it. A region without an entry: its own only."""
    notice: str = NOTICE
    """What the customer reads before the built-in provider's answer when no model could be asked."""
    cache_entries: Annotated[int, Meta(ge=0)] = 0
    """Repeatable completions that are remembered; 0 = none."""

    def route_of(self, name: str) -> RouteConfig:
        """Return a route; without that one, all providers as they stand."""
        for candidate in self.route:
            if candidate.name == name:
                return candidate
        return RouteConfig(name=name, providers=[provider.name for provider in self.provider])

    def order_of(self, route: str) -> list[str]:
        """Providers of a route as they are written."""
        return self.route_of(route).providers

    def may_serve(self, provider: ProviderConfig, region: str) -> bool:
        """Whether the text of a conversation of a region may go to a provider."""
        if provider.kind in IN_PROCESS:
            return True
        if region in self.residency:
            return provider.region in self.residency[region]
        return region in UNBOUND or provider.region == region


BUILT_IN = GatewayConfig(provider=[ProviderConfig(name="extractive", kind="extractive")])


def load_config(file: Path | None) -> GatewayConfig:
    """Read the file; without one the extractive provider serves."""
    if file is None:
        return BUILT_IN
    try:
        config = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), GatewayConfig)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{file}: {error}") from error
    _check_providers(file, config)
    _check_routes(file, config)
    _check_budgets(file, config)
    return config


def _check_providers(file: Path, config: GatewayConfig) -> None:
    names = [provider.name for provider in config.provider]
    for number, provider in enumerate(config.provider):
        where = f"{file}: provider[{number}]"
        if names.count(provider.name) > 1:
            raise ConfigError(f"{where}.name: {provider.name!r} is there twice")
        if provider.kind in IN_PROCESS:
            continue
        if not provider.base_url.startswith(("http://", "https://")):
            raise ConfigError(f"{where}.base_url: an address is needed, got {provider.base_url!r}")
        if not provider.models:
            raise ConfigError(f"{where}.models: at least one model is needed")
        if provider.api_key_env and provider.api_key_file:
            raise ConfigError(f"{where}.api_key_file: api_key_env is given too; one of them says where the key is")


def _check_routes(file: Path, config: GatewayConfig) -> None:
    names = [provider.name for provider in config.provider]
    seen: set[str] = set()
    for number, route in enumerate(config.route):
        where = f"{file}: route[{number}]"
        if route.name in seen:
            raise ConfigError(f"{where}.name: {route.name!r} is there twice")
        seen.add(route.name)
        for name in route.providers:
            if name not in names:
                raise ConfigError(f"{where}.providers: no provider is named {name!r}")
            if route.providers.count(name) > 1:
                raise ConfigError(f"{where}.providers: {name!r} is there twice")
        if route.weights and len(route.weights) != len(route.providers):
            raise ConfigError(f"{where}.weights: {len(route.providers)} are needed, one for each provider")
        if route.weights and route.strategy != "weighted":
            raise ConfigError(f"{where}.weights: strategy is {route.strategy!r}, which knows no weights")


def _check_budgets(file: Path, config: GatewayConfig) -> None:
    tenants = [budget.tenant for budget in config.budget]
    for number, tenant in enumerate(tenants):
        if tenants.count(tenant) > 1:
            raise ConfigError(f"{file}: budget[{number}].tenant: {tenant!r} is there twice")

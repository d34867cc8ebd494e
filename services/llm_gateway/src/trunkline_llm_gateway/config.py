"""Which providers there are and in what order they are asked: a TOML file, checked whole at the start."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Kind = Literal["openai", "extractive", "simulated"]
Positive = Annotated[float, Meta(gt=0)]
Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]


class ConfigError(ValueError):
    """The configuration is not usable; the message says file, key and reason."""


class ProviderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[provider]]`. Times in seconds unless the name says otherwise, costs in US dollars."""

    name: Name
    kind: Kind
    base_url: str = ""
    api_key_env: str = ""
    models: list[str] = []
    region: str = ""
    max_concurrency: Annotated[int, Meta(ge=1)] = 64
    input_cost_per_million: Annotated[float, Meta(ge=0)] = 0.0
    output_cost_per_million: Annotated[float, Meta(ge=0)] = 0.0
    connect_timeout_s: Positive = 2.0
    first_token_timeout_s: Positive = 10.0
    idle_timeout_s: Positive = 10.0
    total_timeout_s: Positive = 60.0
    # Only for kind "simulated": lognormal distributions by median and sigma.
    first_token_ms_median: Positive = 200.0
    first_token_sigma: Annotated[float, Meta(ge=0)] = 0.4
    tokens_per_s: Positive = 80.0
    tokens_median: Positive = 60.0
    tokens_sigma: Annotated[float, Meta(ge=0)] = 0.4
    seed: int = 1


class RouteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[route]]`: providers in the order in which they are tried."""

    name: Name
    providers: Annotated[list[str], Meta(min_length=1)]
    strategy: Literal["priority"] = "priority"


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    provider: Annotated[list[ProviderConfig], Meta(min_length=1)]
    route: list[RouteConfig] = []

    def order_of(self, route: str) -> list[str]:
        """Providers of a route; without that route, all of them as they stand."""
        for candidate in self.route:
            if candidate.name == route:
                return candidate.providers
        return [provider.name for provider in self.provider]


BUILT_IN = GatewayConfig(provider=[ProviderConfig(name="extractive", kind="extractive")])


def load_config(file: Path | None) -> GatewayConfig:
    """Read the file; without one the extractive provider serves."""
    if file is None:
        return BUILT_IN
    try:
        config = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), GatewayConfig)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{file}: {error}") from error
    _check(file, config)
    return config


def _check(file: Path, config: GatewayConfig) -> None:
    names = [provider.name for provider in config.provider]
    for number, provider in enumerate(config.provider):
        where = f"{file}: provider[{number}]"
        if names.count(provider.name) > 1:
            raise ConfigError(f"{where}.name: {provider.name!r} is there twice")
        if provider.kind == "openai" and not provider.base_url.startswith(("http://", "https://")):
            raise ConfigError(f"{where}.base_url: an address is needed, got {provider.base_url!r}")
        if provider.kind == "openai" and not provider.models:
            raise ConfigError(f"{where}.models: at least one model is needed")
    for number, route in enumerate(config.route):
        for name in route.providers:
            if name not in names:
                raise ConfigError(f"{file}: route[{number}].providers: no provider is named {name!r}")

"""Configuration of providers, routes and budgets, parsed from TOML; a single fault rejects the whole text."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from trunkline_protocols.decoding import DecodeError, decode_toml
from trunkline_protocols.rules.residency import may_cross

from trunkline_llm_gateway.core.personal_data.countries import is_country
from trunkline_llm_gateway.core.presets import UnknownPresetError, apply_presets

Kind = Literal["openai", "anthropic", "extractive", "simulated"]
Strategy = Literal["priority", "cheapest", "fastest", "weighted"]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]

IN_PROCESS_KINDS: frozenset[Kind] = frozenset({"extractive", "simulated"})
"""Providers without network access."""

UNRESTRICTED_REGIONS: frozenset[str] = frozenset({"", "local"})
"""Regions of a conversation that allow every provider, unless `[residency]` restricts them."""

OWN_FIELDS: Final = frozenset({"model", "messages", "stream", "system", "tools"})
"""Fields of a request that `extra_body` cannot replace."""
_OWN_HEADERS: Final = frozenset({"authorization", "x-api-key", "content-type", "accept", "host", "content-length"})
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")

DEFAULT_NOTICE = "Our writing assistant cannot be reached right now, so this is what our help articles say."
DEFAULT_FILTER_NOTICE = "That answer has been withdrawn. This is what our help articles say."


class ConfigError(ValueError):
    """The configuration is invalid; the message contains file, key and reason."""


class ProviderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[provider]]`. Times in seconds unless the name has another unit, costs in US dollars."""

    name: Name
    """Name in routes, metrics and commits."""
    kind: Kind
    """API of the server, or a provider in the process: extractive quotes the articles, simulated is for load tests."""
    preset: str = ""
    """Name of a preset, whose keys are the defaults of this provider."""
    base_url: str = ""
    """URL of the API with its version, for example `http://127.0.0.1:8000/v1`."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key."""
    api_key_file: str = ""
    """File that holds the API key, instead of a variable."""
    models: list[str] = []
    """Names of the models; the first one is the default."""
    region: str = ""
    """Region of the server, for `[residency]`."""
    trusted: bool = False
    """If true, texts are sent as they are; by default tokens replace personal data in them."""
    max_concurrency: Annotated[int, Meta(ge=1)] = 64
    """Maximum of concurrent calls; an overloaded server gets fewer."""
    max_waiting: Annotated[int, Meta(ge=0)] = 256
    """Calls that may queue for a permit; further calls go to other providers."""
    input_cost_per_million: NotNegative = 0.0
    """Price of a million tokens of the prompt in US dollars."""
    output_cost_per_million: NotNegative = 0.0
    """Price of a million tokens of the answer in US dollars."""
    connect_timeout_s: Positive = 2.0
    """Timeout of a connection in seconds."""
    first_token_timeout_s: Positive = 10.0
    """Timeout of the first event in seconds."""
    idle_timeout_s: Positive = 10.0
    """Timeout between two events in seconds."""
    total_timeout_s: Positive = 60.0
    """Timeout of a whole answer in seconds."""
    tools: bool = True
    """If false, requests with tools go to other providers."""
    # What the server takes; `trunkline llm --check` finds it out.
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Field of the limit of an answer."""
    thinking_tokens: Annotated[int, Meta(ge=0)] = 0
    """Added to the limit of an answer for the thoughts that count towards it."""
    stream_options: bool = True
    """Request usage by the field `stream_options`; false for servers that refuse it."""
    sends_temperature: bool = True
    """False for servers that refuse the field `temperature`."""
    continues: Literal["no", "prefill", "vllm", "mistral"] = "no"
    """How the provider continues a text: by a last message of the assistant (`prefill`), with the parameters for it of
    vLLM or Mistral, or not at all. Applies to texts that another provider has begun, and to answers that are cut at
    the limit of tokens."""
    tool_call_ids: Literal["any", "nine_characters"] = "any"
    """Ids of tool calls that the server takes: any, or nine letters and digits only."""
    extra_body: dict[str, Any] = {}
    """Further fields of every request."""
    extra_headers: dict[str, str] = {}
    """Further headers of every request; no secrets, which belong into `api_key_env` or `api_key_file`."""
    # What the server sends.
    ends_with: Literal["finish_reason", "done"] = "finish_reason"
    """Sign of a complete answer: a finish reason, or the event `[DONE]` of servers that send no finish reason."""
    thinking: Literal["tags", "prefilled"] = "tags"
    """Thoughts in the text, which are removed: between tags like `<think>` and `</think>` (`tags`), or up to a closing
    tag whose opening one is in the prompt (`prefilled`)."""
    # Only for kind "simulated": lognormal distributions by median and sigma.
    first_token_ms_median: Positive = 200.0
    """Simulated: median time to the first token in milliseconds."""
    first_token_sigma: NotNegative = 0.4
    """Simulated: spread of that time, as sigma of a lognormal distribution."""
    tokens_per_s: Positive = 80.0
    """Simulated: tokens per second after the first one."""
    tokens_median: Positive = 60.0
    """Simulated: median number of tokens."""
    tokens_sigma: NotNegative = 0.4
    """Simulated: spread of that number, as sigma of a lognormal distribution."""
    seed: int = 1
    """Simulated: seed of the distributions."""

    @property
    def gets_personal_data(self) -> bool:
        """Return whether texts reach the provider as they are: it is trusted, or part of this process."""
        return self.trusted or self.kind in IN_PROCESS_KINDS

    @property
    def is_free(self) -> bool:
        """Return whether calls cost nothing."""
        return self.input_cost_per_million == 0 and self.output_cost_per_million == 0

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Return the cost of these tokens in US dollars."""
        return (input_tokens * self.input_cost_per_million + output_tokens * self.output_cost_per_million) / 1e6


class RouteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[route]]`: providers and the strategy that orders them."""

    name: Name
    """Name in requests; `default` is the route of agents."""
    providers: Annotated[list[str], Meta(min_length=1)]
    """Names of the providers."""
    strategy: Strategy = "priority"
    """Order of the providers: as listed, by cost, by time to the first token, or at random by weight."""
    weights: list[Positive] = []
    """For "weighted": one per provider."""
    hedge_after_ms: NotNegative = 0.0
    """If the first token takes longer, a second provider is called as well; 0 = never."""
    hedge_percentile: Annotated[float, Meta(ge=0, lt=100)] = 0.0
    """And longer than this percentile of the provider's recent times to first token; 0 = hedge_after_ms alone."""


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[budget]]`: a tenant's spending limit per day (UTC); `*` is the default for tenants without their own."""

    tenant: Annotated[str, Meta(min_length=1)]
    """Tenant, or `*`."""
    usd_per_day: Positive
    """Limit in US dollars, after which only free providers answer."""
    warn_at: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Share of the limit at which a warning is logged."""


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    provider: Annotated[list[ProviderConfig], Meta(min_length=1)]
    route: list[RouteConfig] = []
    budget: list[BudgetConfig] = []
    residency: dict[str, list[str]] = {}
    """Region of a conversation -> regions of providers that may serve it; by default only the same region."""
    countries: list[str] = []
    """Countries (ISO 3166, such as `DE`) whose national forms of telephone and identity numbers are personal data, in
    addition to those of a conversation's locale."""
    notice: str = DEFAULT_NOTICE
    """Text before the fallback answer if no model was available."""
    filter_notice: str = DEFAULT_FILTER_NOTICE
    """The same if a provider has withdrawn its answer by a content filter."""
    cache_entries: Annotated[int, Meta(ge=0)] = 0
    """Maximum number of cached deterministic completions; 0 = no cache."""

    def route_of(self, name: str) -> RouteConfig:
        """Return a route by name, by default all providers in their order."""
        for candidate in self.route:
            if candidate.name == name:
                return candidate
        return RouteConfig(name=name, providers=[provider.name for provider in self.provider])

    def is_allowed(self, provider: ProviderConfig, region: str) -> bool:
        """Return whether the text of a conversation of a region may be sent to a provider."""
        if provider.kind in IN_PROCESS_KINDS:
            return True
        if region in UNRESTRICTED_REGIONS and region not in self.residency:
            return True
        return may_cross("provider", data=region, place=provider.region, policy=self.residency)


DEFAULT_CONFIG = GatewayConfig(provider=[ProviderConfig(name="extractive", kind="extractive")])


def parse_config(text: str, source: str) -> GatewayConfig:
    """Parse and check a TOML text; raise `ConfigError`, whose message begins with `source`."""
    try:
        config = decode_toml(text, GatewayConfig, prepare=apply_presets)
    except (DecodeError, UnknownPresetError) as error:
        raise ConfigError(f"{source}: {error}") from error
    _check_providers(source, config)
    _check_routes(source, config)
    _check_budgets(source, config)
    _check_countries(source, config)
    return config


def _check_providers(source: str, config: GatewayConfig) -> None:
    names = [provider.name for provider in config.provider]
    for number, provider in enumerate(config.provider):
        location = f"{source}: provider[{number}]"
        if names.count(provider.name) > 1:
            raise ConfigError(f"{location}.name: {provider.name!r} is defined twice")
        if provider.kind in IN_PROCESS_KINDS:
            continue
        if not provider.base_url.startswith(("http://", "https://")):
            raise ConfigError(f"{location}.base_url: must be an http or https URL, got {provider.base_url!r}")
        if not provider.models:
            raise ConfigError(f"{location}.models: at least one model is required")
        if provider.api_key_env and provider.api_key_file:
            raise ConfigError(f"{location}.api_key_file: cannot be combined with api_key_env")
        _check_extras(location, provider)


def _check_extras(location: str, provider: ProviderConfig) -> None:
    for name in provider.extra_body:
        if name in OWN_FIELDS:
            raise ConfigError(f"{location}.extra_body: {name!r} is set by the gateway")
    for name, value in provider.extra_headers.items():
        if name.lower() in _OWN_HEADERS:
            raise ConfigError(f"{location}.extra_headers: {name!r} is set by the gateway")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"{location}.extra_headers: {name!r} is no valid header")


def _check_routes(source: str, config: GatewayConfig) -> None:
    names = [provider.name for provider in config.provider]
    seen: set[str] = set()
    for number, route in enumerate(config.route):
        location = f"{source}: route[{number}]"
        if route.name in seen:
            raise ConfigError(f"{location}.name: {route.name!r} is defined twice")
        seen.add(route.name)
        for name in route.providers:
            if name not in names:
                raise ConfigError(f"{location}.providers: unknown provider {name!r}")
            if route.providers.count(name) > 1:
                raise ConfigError(f"{location}.providers: {name!r} is listed twice")
        if route.weights and len(route.weights) != len(route.providers):
            raise ConfigError(f"{location}.weights: {len(route.providers)} are required, one per provider")
        if route.weights and route.strategy != "weighted":
            raise ConfigError(f"{location}.weights: not supported by strategy {route.strategy!r}")


def _check_budgets(source: str, config: GatewayConfig) -> None:
    tenants = [budget.tenant for budget in config.budget]
    for number, tenant in enumerate(tenants):
        if tenants.count(tenant) > 1:
            raise ConfigError(f"{source}: budget[{number}].tenant: {tenant!r} is defined twice")


def _check_countries(source: str, config: GatewayConfig) -> None:
    for number, country in enumerate(config.countries):
        if not is_country(country):
            raise ConfigError(f"{source}: countries[{number}]: unknown country {country!r}")

"""Provider selection: eligibility by region, tools and model, and the order of each strategy."""

from __future__ import annotations

import random
from typing import Any

from trunkline_llm_gateway.core.config import GatewayConfig, ProviderConfig, RouteConfig, Strategy
from trunkline_llm_gateway.core.routing import drop_quoting, eligible, rank
from trunkline_protocols.completion import ToolSpec

from tests.llm_gateway.gateway_harness import make_request


def remote(name: str, **changes: Any) -> ProviderConfig:
    return ProviderConfig(name=name, kind="openai", base_url="http://x/v1", models=["small"], **changes)


def eligible_names(config: GatewayConfig, **changes: Any) -> list[str]:
    return [candidate.provider.name for candidate in eligible(config, make_request(**changes))]


EXTRACTIVE = ProviderConfig(name="quotes", kind="extractive")
EXPENSIVE = remote("expensive", input_cost_per_million=10.0, output_cost_per_million=30.0)
CHEAP = remote("cheap", input_cost_per_million=1.0)
NAMES = ["expensive", "quotes", "cheap"]


def ranked_names(
    strategy: Strategy, rng: float = 0.5, weights: list[float] | None = None, **latencies: float
) -> list[str]:
    config = GatewayConfig(provider=[EXPENSIVE, EXTRACTIVE, CHEAP])
    route = RouteConfig(name="default", providers=NAMES, strategy=strategy, weights=weights or [])
    ranked = rank(
        eligible(config, make_request()),
        route,
        make_request(),
        first_token_s=lambda name: latencies.get(name, 0.0),
        rng=lambda: rng,
    )
    return [candidate.provider.name for candidate in ranked]


def test_strategies_order_models_and_put_quoting_last() -> None:
    """Quoting is free and immediate: it would otherwise always win."""
    assert ranked_names("priority") == NAMES
    assert ranked_names("cheapest") == ["cheap", "expensive", "quotes"]
    assert ranked_names("fastest", expensive=0.1, cheap=0.2) == ["expensive", "cheap", "quotes"]
    assert ranked_names("weighted", weights=[1.0, 1.0, 9.0]) == ["cheap", "expensive", "quotes"]


def test_quoting_is_part_of_a_round_only_if_it_is_first() -> None:
    """Behind a model it is the fallback of the whole completion."""
    model_first, quoting_first = [CHEAP, EXTRACTIVE, EXPENSIVE], [EXTRACTIVE, CHEAP]
    for providers, expected in ((model_first, ["cheap", "expensive"]), (quoting_first, ["quotes", "cheap"])):
        candidates = eligible(GatewayConfig(provider=providers), make_request())
        assert [candidate.provider.name for candidate in drop_quoting(candidates)] == expected


def test_weights_are_shares_of_first_positions() -> None:
    """Nine to one."""
    random_ = random.Random(3)  # noqa: S311 - samples, not secrets
    route = RouteConfig(name="default", providers=["expensive", "cheap"], strategy="weighted", weights=[9.0, 1.0])
    candidates = eligible(GatewayConfig(provider=[EXPENSIVE, CHEAP]), make_request())
    first = [
        rank(candidates, route, make_request(), first_token_s=lambda _: 0.0, rng=random_.random)[0].provider.name
        for _ in range(2_000)
    ]
    assert 0.87 < first.count("expensive") / len(first) < 0.93


def test_region_restricts_a_conversation_to_allowed_providers() -> None:
    """A provider without a region could be anywhere; quoting sends nothing anywhere."""
    eu, us, unknown = remote("eu", region="eu"), remote("us", region="us"), remote("unknown")
    providers = [eu, us, unknown, EXTRACTIVE]
    plain = GatewayConfig(provider=providers)
    allowed = GatewayConfig(provider=providers, residency={"eu": ["eu", "us"], "local": ["eu"]})
    assert eligible_names(plain, region="eu") == ["eu", "quotes"]
    assert eligible_names(plain, region="ch") == ["quotes"]
    assert eligible_names(plain, region="local") == ["eu", "us", "unknown", "quotes"]
    assert eligible_names(allowed, region="eu") == ["eu", "us", "quotes"]
    assert eligible_names(allowed, region="local") == ["eu", "quotes"]
    assert eligible_names(plain, region="eu", provider="us") == []


def test_request_is_sent_to_providers_that_can_serve_it() -> None:
    """A named model, and tools if the request has any."""
    config = GatewayConfig(provider=[remote("able"), remote("unable", tools=False), EXTRACTIVE])
    tool = ToolSpec(name="t", description="d", parameters={})
    assert eligible_names(config, tools=[tool]) == ["able", "quotes"]
    assert eligible_names(config, model="large") == ["quotes"]

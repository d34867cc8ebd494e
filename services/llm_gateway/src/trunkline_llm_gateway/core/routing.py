"""Provider selection and ordering for one completion.

Eligible are the providers of the route that the conversation's region allows and that can serve the request. Their
order is the route's strategy. A provider that quotes without a model is called if it stands first in a priority, or as
the fallback; it does not precede models because it is free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec
from trunkline_protocols.completion import Complete

from trunkline_llm_gateway.core import costs
from trunkline_llm_gateway.core.config import IN_PROCESS_KINDS, GatewayConfig, ProviderConfig, RouteConfig


class Candidate(msgspec.Struct, frozen=True):
    """An eligible provider and the model to use."""

    provider: ProviderConfig
    model: str


def eligible(config: GatewayConfig, request: Complete) -> list[Candidate]:
    """Return the providers that may and can serve a request, in the route's own order."""
    found = []
    for provider in _named(config, request):
        if not config.is_allowed(provider, request.region):
            continue
        # Providers in this process never call tools; they are the answer without a model.
        if request.tools and provider.kind not in IN_PROCESS_KINDS and not provider.tools:
            continue
        # Nor can they write a summary: they quote, or only simulate a model's timing.
        if request.purpose == "summary" and provider.kind in IN_PROCESS_KINDS:
            continue
        if request.model and provider.models and request.model not in provider.models:
            continue
        found.append(Candidate(provider, request.model or next(iter(provider.models), provider.kind)))
    return found


def excluded(config: GatewayConfig, request: Complete) -> list[ProviderConfig]:
    """Return the providers that a request or its route names, and that may not have text of its region."""
    return [each for each in _named(config, request) if not config.is_allowed(each, request.region)]


def _named(config: GatewayConfig, request: Complete) -> list[ProviderConfig]:
    names = [request.provider] if request.provider else config.route_of(request.route).providers
    by_name = {provider.name: provider for provider in config.provider}
    return [by_name[name] for name in names if name in by_name]


def drop_quoting(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Remove extractive providers unless one is first: quoting is the fallback, not one step of a round."""
    if not ranked or ranked[0].provider.kind == "extractive":
        return list(ranked)
    return [candidate for candidate in ranked if candidate.provider.kind != "extractive"]


def rank(
    candidates: Sequence[Candidate],
    route: RouteConfig,
    request: Complete,
    *,
    first_token_s: Callable[[str], float],
    rng: Callable[[], float],
) -> list[Candidate]:
    """Order candidates by the route's strategy.

    `first_token_s` returns a provider's usual time to first token, 0 before its first call, so that a new provider is
    tried. `rng` returns a random number from 0 to 1.
    """
    ranked: list[Candidate]
    match route.strategy:
        case "priority":
            return list(candidates)
        case "cheapest":
            ranked = sorted(candidates, key=lambda candidate: costs.expected_cost(candidate.provider, request))
        case "fastest":
            ranked = sorted(candidates, key=lambda candidate: first_token_s(candidate.provider.name))
        case "weighted":
            # Ordering by rng ** (1 / weight), largest first, samples without replacement by weight.
            weights = dict(zip(route.providers, route.weights or [1.0] * len(route.providers), strict=True))
            ranked = sorted(candidates, key=lambda one: -(rng() ** (1.0 / weights.get(one.provider.name, 1.0))))
        case _:
            assert_never(route.strategy)
    return sorted(ranked, key=lambda candidate: candidate.provider.kind == "extractive")

"""Who is asked for a completion, and in what order.

May be asked: the providers of the route that the conversation's region allows and that can do what is asked for. The
order is the route's strategy. Who quotes without a model is asked where it stands first in a priority, and when no
model can answer; not before a model because it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec
from trunkline_protocols.completion import Complete

from trunkline_llm_gateway.core import costs
from trunkline_llm_gateway.core.config import IN_PROCESS, GatewayConfig, ProviderConfig, RouteConfig


class Candidate(msgspec.Struct, frozen=True):
    """A provider that may be asked, and for which of its models."""

    provider: ProviderConfig
    model: str


def options(config: GatewayConfig, request: Complete) -> list[Candidate]:
    """Return who may and can, in the route's own order."""
    names = [request.provider] if request.provider else config.order_of(request.route)
    by_name = {provider.name: provider for provider in config.provider}
    found = []
    for name in names:
        provider = by_name.get(name)
        if provider is None or not config.may_serve(provider, request.region):
            continue
        # Who runs in this process asks for no tools; it is the answer without a model.
        if request.tools and provider.kind not in IN_PROCESS and not provider.tools:
            continue
        # Nor has it words of its own for a summary: it quotes, or only keeps a model's time.
        if request.purpose == "summary" and provider.kind in IN_PROCESS:
            continue
        if request.model and provider.models and request.model not in provider.models:
            continue
        found.append(Candidate(provider, request.model or next(iter(provider.models), provider.kind)))
    return found


def models(options: Sequence[Candidate]) -> list[Candidate]:
    """Leave out who quotes without a model: that is the answer when no model has one, not a place in the round."""
    return [option for option in options if option.provider.kind != "extractive"] or list(options)


def ranked(
    options: Sequence[Candidate],
    route: RouteConfig,
    request: Complete,
    *,
    first_token_s: Callable[[str], float],
    rng: Callable[[], float],
) -> list[Candidate]:
    """Order options by the route's strategy.

    `first_token_s` is how long a provider lately took, 0 for one that was not asked yet: it is tried. `rng` returns a
    random number from 0 to 1.
    """
    by: list[Candidate]
    match route.strategy:
        case "priority":
            return list(options)
        case "cheapest":
            by = sorted(options, key=lambda option: costs.likely(option.provider, request))
        case "fastest":
            by = sorted(options, key=lambda option: first_token_s(option.provider.name))
        case "weighted":
            # The largest of draw ** (1 / weight) comes first: a draw without replacement, by weight.
            weights = dict(zip(route.providers, route.weights or [1.0] * len(route.providers), strict=True))
            by = sorted(options, key=lambda option: -(rng() ** (1.0 / weights.get(option.provider.name, 1.0))))
        case _:
            assert_never(route.strategy)
    return sorted(by, key=lambda option: option.provider.kind == "extractive")

"""Costs: sums of usage, and estimates of completions for which no provider has reported usage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from trunkline_protocols import codec
from trunkline_protocols.accounting import Usage
from trunkline_protocols.completion import Complete

from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.token_counts import estimated_tokens, utf8_size

_PROMPT_PROCESSED: Final = frozenset({"timeout", "cut", "empty", "stopped"})
"""Outcomes of attempts whose provider had accepted the request; most providers charge for it."""


def total(usages: Sequence[Usage]) -> Usage:
    """Return the sum of the usage of several parts; estimated if one of them is."""
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        cost=sum(usage.cost for usage in usages),
        estimated=any(usage.estimated for usage in usages),
    )


def expected_cost(provider: ProviderConfig, request: Complete) -> float:
    """Return the dollars that a request is expected to cost: its prompt, and half of its output limit."""
    return provider.cost(_prompt_tokens(request), request.max_tokens // 2)


def unfinished_cost(provider: ProviderConfig, request: Complete, *, outcome: str, characters: int) -> float:
    """Return the dollars of an attempt without an answer; `characters` is the length of its partial text."""
    if not characters and outcome not in _PROMPT_PROCESSED:
        return 0.0
    return provider.cost(_prompt_tokens(request), estimated_tokens(characters))


def _prompt_tokens(request: Complete) -> int:
    tool_size = len(codec.encode([*request.tools, *request.tool_steps])) if request.tools or request.tool_steps else 0
    return estimated_tokens(sum(map(utf8_size, _prompt_texts(request))) + tool_size)


def _prompt_texts(request: Complete) -> Iterable[str]:
    yield from (request.instructions, request.text, request.summary, *request.notices)
    yield from (passage.text for passage in request.passages)
    yield from (utterance.text for utterance in request.transcript)
    yield from (note.text for note in request.advice)

"""Estimated costs, by characters, of completions for which no provider has reported usage."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.completion import Complete

from trunkline_llm_gateway.core.config import ProviderConfig

_CHARACTERS_PER_TOKEN: Final = 4
_PROMPT_PROCESSED: Final = frozenset({"timeout", "cut", "empty", "stopped"})
"""Outcomes of attempts whose provider had accepted the request; most providers charge for it."""


def expected_cost(provider: ProviderConfig, request: Complete) -> float:
    """Return the dollars that a request is expected to cost: its prompt, and half of its output limit."""
    return provider.cost(_prompt_tokens(request), request.max_tokens // 2)


def unfinished_cost(provider: ProviderConfig, request: Complete, *, outcome: str, characters: int) -> float:
    """Return the dollars of an attempt without an answer; `characters` is the length of its partial text."""
    if not characters and outcome not in _PROMPT_PROCESSED:
        return 0.0
    return provider.cost(_prompt_tokens(request), characters // _CHARACTERS_PER_TOKEN)


def _prompt_tokens(request: Complete) -> int:
    characters = len(request.instructions) + len(request.text) + len(request.summary)
    characters += sum(len(passage.text) for passage in request.passages)
    characters += sum(len(utterance.text) for utterance in request.transcript)
    return characters // _CHARACTERS_PER_TOKEN

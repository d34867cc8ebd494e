"""What a completion costs, where no provider has told: estimates by characters."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.completion import Complete

from trunkline_llm_gateway.core.config import ProviderConfig

_CHARACTERS_A_TOKEN: Final = 4
_HAD_BEGUN: Final = frozenset({"timeout", "cut", "empty", "stopped"})
"""AttemptRecorder of a provider that had taken the order and worked on it; most let that be paid for."""


def likely(provider: ProviderConfig, request: Complete) -> float:
    """Dollars that an order is likely to cost: what it says, and half of what it allows to be answered."""
    return provider.cost(_prompt_tokens(request), request.max_tokens // 2)


def lost(provider: ProviderConfig, request: Complete, *, outcome: str, written: int) -> float:
    """Dollars that a try without an answer has cost; `written` is how many characters came of it."""
    if not written and outcome not in _HAD_BEGUN:
        return 0.0
    return provider.cost(_prompt_tokens(request), written // _CHARACTERS_A_TOKEN)


def _prompt_tokens(request: Complete) -> int:
    said = len(request.instructions) + len(request.question) + len(request.summary)
    said += sum(len(passage.text) for passage in request.passages) + sum(len(said.text) for said in request.transcript)
    return said // _CHARACTERS_A_TOKEN

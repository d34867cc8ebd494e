"""What a completion costs, where no provider has told: estimates by characters."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.completion import Complete

from trunkline_llm_gateway.config import ProviderConfig

_CHARACTERS_A_TOKEN: Final = 4
_HAD_BEGUN: Final = frozenset({"timeout", "cut", "empty", "stopped"})
"""Outcomes of a provider that had taken the order and worked on it; most let that be paid for."""


def likely(provider: ProviderConfig, order: Complete) -> float:
    """Dollars that an order is likely to cost: what it says, and half of what it allows to be answered."""
    return provider.cost(_prompt_tokens(order), order.max_tokens // 2)


def lost(provider: ProviderConfig, order: Complete, *, outcome: str, written: int) -> float:
    """Dollars that a try without an answer has cost; `written` is how many characters came of it."""
    if not written and outcome not in _HAD_BEGUN:
        return 0.0
    return provider.cost(_prompt_tokens(order), written // _CHARACTERS_A_TOKEN)


def _prompt_tokens(order: Complete) -> int:
    said = len(order.instructions) + len(order.question) + len(order.summary)
    said += sum(len(passage.text) for passage in order.passages) + sum(len(said.text) for said in order.transcript)
    return said // _CHARACTERS_A_TOKEN

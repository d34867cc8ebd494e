"""The draw of a conversation in a roll-out: stable, monotone, and as large as its share."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, strategies as st
from trunkline_protocols.ids import PARTITIONS, ConversationId, conversation_id, partition_of, slot_of
from trunkline_protocols.rollout import FleetDraw
from trunkline_protocols.rules.rollout import is_drawn_to_candidate

IDS = [conversation_id(random.Random(number).randbytes(16).hex()) for number in range(10_000)]  # noqa: S311
PERCENT = st.integers(0, 100)


def drawn(candidate: int, share: int) -> set[ConversationId]:
    """Return the ids that a share gives the candidate."""
    draw = FleetDraw(candidate=candidate, share=share)
    return {conversation for conversation in IDS if is_drawn_to_candidate(conversation, draw)}


@pytest.mark.parametrize("share", [0, 1, 5, 25, 50, 75, 100])
def test_share_is_honoured(share: int) -> None:
    """Within three standard errors of 10,000 ids; no conversation at 0, all at 100."""
    error = math.sqrt(share * (100 - share) / len(IDS))
    assert abs(100 * len(drawn(12, share)) / len(IDS) - share) <= 3 * error


@given(st.text("0123456789abcdef", min_size=16, max_size=32), st.integers(1, 10**6), PERCENT, PERCENT)
def test_greater_share_takes_no_candidate_away(random_hex: str, candidate: int, one: int, other: int) -> None:
    """A conversation that a share draws is drawn by every greater one, and again by the same."""
    small, large = (FleetDraw(candidate=candidate, share=share) for share in sorted((one, other)))
    conversation = conversation_id(random_hex)
    if is_drawn_to_candidate(conversation, small):
        assert is_drawn_to_candidate(conversation, large)
    assert is_drawn_to_candidate(conversation, small) is is_drawn_to_candidate(conversation, small)


def test_next_rollout_draws_others_in_all_slots() -> None:
    """Independent of the last candidate, and of the partition of a conversation."""
    first, second = drawn(12, 25), drawn(13, 25)
    assert 0.04 < len(first & second) / len(IDS) < 0.09
    slots = [slot_of(partition_of(conversation)) for conversation in first]
    assert max(slots) < PARTITIONS
    assert all(0.08 < slots.count(slot) / len(slots) < 0.17 for slot in range(8))

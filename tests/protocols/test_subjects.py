"""Builders and parsers of subjects."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from trunkline_protocols import streams, subjects
from trunkline_protocols.ids import PARTITIONS, SLOTS, ConversationId, InvalidIdError, partition_of, slot_of, token

tokens = st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z")


@given(region=tokens, conversation=tokens, kind=st.sampled_from(subjects.COMMIT_KINDS))
def test_built_conversation_subjects_parse_back(region: str, conversation: str, kind: subjects.CommitKind) -> None:
    """parse(build(s)) == s for every subject of a conversation."""
    owner = ConversationId(conversation)
    partition = partition_of(owner)
    assert subjects.parse_conversation(subjects.inbox(region, owner)) == (region, partition, owner, None)
    assert subjects.parse_conversation(subjects.attach(region, owner)) == (region, partition, owner, None)
    assert subjects.parse_conversation(subjects.log(region, owner, kind)) == (region, partition, owner, kind)


@given(specialty=tokens, lane=st.sampled_from(subjects.LANES), colour=st.sampled_from(["", *subjects.COLOURS]))
def test_built_work_subjects_parse_back(specialty: str, lane: subjects.Lane, colour: subjects.QueueColour) -> None:
    """parse(build(s)) == s for the work queue."""
    assert subjects.parse_work(streams.work_subject(specialty, lane, colour)) == (specialty, lane, colour)


@given(conversation=tokens)
def test_partition_is_one_of_64_and_in_exactly_one_slot(conversation: str) -> None:
    """Every conversation belongs to the consumer of exactly one slot."""
    partition = partition_of(ConversationId(conversation))
    assert 0 <= partition < PARTITIONS
    slots = [slot for slot in range(SLOTS) if f"inbox.local.{partition}.>" in subjects.inbox_slot("local", slot)]
    assert slots == [slot_of(partition)]


@pytest.mark.parametrize("bad", ["", "a.b", "*", ">", "a b", "a\n", "x" * 65, "ü", "a/b"])
def test_invalid_tokens_are_rejected(bad: str) -> None:
    """An id can neither widen nor break a subject."""
    with pytest.raises(InvalidIdError, match="must be 1 to 64"):
        token(bad, "conversation")
    with pytest.raises(InvalidIdError):
        subjects.inbox("local", ConversationId(bad))


@pytest.mark.parametrize(
    "subject",
    ["inbox.local.99.cabc", "conv.local.1.cabc.gossip", "inbox.local.cabc", "other.local.1.cabc", "inbox.local.x.cabc"],
)
def test_foreign_subjects_are_rejected(subject: str) -> None:
    """A valid form with a wrong partition is rejected too."""
    with pytest.raises(InvalidIdError):
        subjects.parse_conversation(subject)


def test_fence_covers_every_kind_of_a_conversation() -> None:
    """A filter over fewer kinds would defeat the fence."""
    conversation = ConversationId("cabc")
    prefix = subjects.log_fence("local", conversation).removesuffix("*")
    assert all(subjects.log("local", conversation, kind) == prefix + kind for kind in subjects.COMMIT_KINDS)

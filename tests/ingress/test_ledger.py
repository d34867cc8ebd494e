"""Numbers of durable frames: what was sent live and what a resume derives from the streams are the same."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from trunkline_ingress.core.ledger import STARTED_SEQ, Ledger, frames_of, last_before
from trunkline_protocols.frames import AcceptedFrame, MessageFrame
from trunkline_protocols.log import CustomerMessageEvent, Event
from trunkline_protocols.rules.frames import frames_in

from tests.ingress.conversation_simulator import World, lived, scripts, slow_scripts


@given(slow_scripts)
def test_another_ingress_derives_the_frames_that_were_sent(script: list[str]) -> None:
    """Whatever the order of messages, answers, handoffs and people's replies, and whenever they were heard of."""
    world = lived(script, slow=True)
    world.hear_all()
    ledger, frames = world.replay()
    assert frames == world.sent
    assert [frame.seq for frame in frames] == list(range(2, 2 + len(frames)))
    assert ledger.high == world.ledger.high
    assert ledger.last_commit == world.ledger.last_commit
    assert ledger.last_inbox == world.ledger.last_inbox
    assert ledger.unanswered == world.ledger.unanswered
    assert ledger.accepted == world.ledger.accepted
    assert ledger.closed == world.ledger.closed
    assert not any(map(ledger.is_unsure_of, [*ledger.accepted, "new"]))


@given(scripts, scripts)
def test_conversation_goes_on_after_a_replay_as_if_nothing_had_happened(before: list[str], after: list[str]) -> None:
    """The derived ledger gives the numbers that the first one would have given."""
    world = lived(before)
    world.ledger, _ = world.replay()
    for step in after:
        getattr(world, step)()
    assert [frame.seq for frame in world.sent] == list(range(2, 2 + len(world.sent)))


@given(slow_scripts)
def test_every_end_of_the_log_gives_the_numbers_of_the_whole(script: list[str]) -> None:
    """As long as it settles something: all frames over `last_before`, and nobody's else."""
    world = lived(script, slow=True)
    whole, frames = world.replay()
    for first in range(len(world.commits)):
        tail = world.commits[first:]
        if first and not any(stored.commit.settles for stored in tail):
            break
        known, numbered = Ledger.replay(tail, world.unsettled, end=len(world.inbox))
        before = last_before(tail, world.unsettled)
        assert [frame for frame in numbered if frame.seq > before] == [frame for frame in frames if frame.seq > before]
        assert set(map(repr, numbered)) <= set(map(repr, frames))
        assert len(frames) - len(numbered) == tail[0].commit.frames_before
        facts = ("high", "last_commit", "last_inbox", "unanswered", "closed")
        assert [getattr(known, fact) for fact in facts] == [getattr(whole, fact) for fact in facts]
        assert all(
            known.accepted.get(id_) == number or known.is_unsure_of(id_) for id_, number in whole.accepted.items()
        )
        known.learn(world.commits)
        assert known.accepted == whole.accepted
        assert not any(map(known.is_unsure_of, [*known.accepted, "new"]))


def test_messages_sent_at_once_are_numbered_before_their_answers() -> None:
    """Two questions, then two answers."""
    world = lived(["say", "say", "answer", "answer"])
    assert [(type(frame), frame.seq) for frame in world.sent] == [
        (AcceptedFrame, 2),
        (AcceptedFrame, 3),
        (MessageFrame, 4),
        (MessageFrame, 5),
    ]


def test_closed_conversation_is_closed_for_who_resumes() -> None:
    """The end is a frame like any other."""
    world = lived(["say", "answer", "close"])
    ledger, frames = world.replay()
    assert ledger.closed
    assert frames == world.sent


def test_nothing_is_before_a_conversation_without_commits() -> None:
    """But `started`."""
    world = World()
    assert last_before(world.commits, world.unsettled) == STARTED_SEQ
    world.say()
    assert last_before(world.commits, world.unsettled) == STARTED_SEQ


def sample(type_: Any) -> Any:
    """Something of a type: structs with what they require."""
    if get_origin(type_) is Literal:
        return get_args(type_)[0]
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        hints = get_type_hints(type_)
        return type_(
            **{field.name: sample(hints[field.name]) for field in msgspec.structs.fields(type_) if field.required}
        )
    return type_()


@pytest.mark.parametrize("type_", get_args(Event), ids=lambda type_: type_.__name__)
def test_what_a_commit_counts_is_what_the_customer_is_shown(type_: type[Event]) -> None:
    """For every kind of event: conversation and ingress count the same frames."""
    event = sample(type_)
    commit = msgspec.structs.replace(lived(["reply"]).commits[0].commit, events=[event])
    assert frames_in([event]) == len(frames_of(commit, 2)) + isinstance(event, CustomerMessageEvent)

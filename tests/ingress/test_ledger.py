"""Numbering of durable frames: a resume derives the same numbers from the streams as were sent live."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from trunkline_ingress.core.ledger import STARTED_SEQ, Ledger, frames_of, last_seq_before
from trunkline_protocols.frames import AcceptedFrame, MessageFrame
from trunkline_protocols.log import CustomerMessageEvent, Event
from trunkline_protocols.rules.frames import frames_in

from tests.ingress.conversation_simulator import INTERNAL, ConversationSimulator, delayed_scripts, scripts, simulate


@given(delayed_scripts)
def test_another_ingress_derives_the_frames_that_were_sent(script: list[str]) -> None:
    """For any order of messages, answers, handoffs and replies of people, and any delay of notifications."""
    simulator = simulate(script, delayed=True)
    simulator.receive_all()
    ledger, frames = simulator.replay()
    assert frames == simulator.sent
    assert [frame.seq for frame in frames] == list(range(2, 2 + len(frames)))
    assert ledger.last_seq == simulator.ledger.last_seq
    assert ledger.last_commit == simulator.ledger.last_commit
    assert ledger.last_inbox == simulator.ledger.last_inbox
    assert ledger.unanswered == simulator.ledger.unanswered
    assert ledger.accepted == simulator.ledger.accepted
    assert ledger.closed == simulator.ledger.closed
    assert not any(map(ledger.is_uncertain, [*ledger.accepted, "new"]))


@given(delayed_scripts)
def test_no_frame_holds_an_internal_note(script: list[str]) -> None:
    """Neither one that was sent live nor one that a resume sends."""
    simulator = simulate(script, delayed=True)
    simulator.add_note()
    simulator.receive_all()
    _, frames = simulator.replay()
    assert INTERNAL not in repr(simulator.sent)
    assert INTERNAL not in repr(frames)
    assert INTERNAL in repr(simulator.commits)


@given(scripts, scripts)
def test_replayed_ledger_continues_the_numbering(before: list[str], after: list[str]) -> None:
    """It assigns the numbers that the original ledger would have assigned."""
    simulator = simulate(before)
    simulator.ledger, _ = simulator.replay()
    for action in after:
        getattr(simulator, action)()
    assert [frame.seq for frame in simulator.sent] == list(range(2, 2 + len(simulator.sent)))


@given(delayed_scripts)
def test_every_tail_of_the_log_gives_the_numbers_of_the_whole_log(script: list[str]) -> None:
    """If the tail settles a message, its replay returns all frames above `last_seq_before` and no wrong one."""
    simulator = simulate(script, delayed=True)
    whole, frames = simulator.replay()
    for first in range(len(simulator.commits)):
        tail = simulator.commits[first:]
        if first and not any(stored.commit.settles for stored in tail):
            break
        known, numbered = Ledger.replay(tail, simulator.unsettled, end=len(simulator.inbox))
        before = last_seq_before(tail, simulator.unsettled)
        assert [frame for frame in numbered if frame.seq > before] == [frame for frame in frames if frame.seq > before]
        assert set(map(repr, numbered)) <= set(map(repr, frames))
        assert len(frames) - len(numbered) == tail[0].commit.frames_before
        facts = ("last_seq", "last_commit", "last_inbox", "unanswered", "closed")
        assert [getattr(known, fact) for fact in facts] == [getattr(whole, fact) for fact in facts]
        assert all(
            known.accepted.get(id_) == number or known.is_uncertain(id_) for id_, number in whole.accepted.items()
        )
        known.add_history(simulator.commits)
        assert known.accepted == whole.accepted
        assert not any(map(known.is_uncertain, [*known.accepted, "new"]))


def test_messages_sent_at_once_are_numbered_before_their_answers() -> None:
    """Two messages, then two answers."""
    simulator = simulate(["message", "message", "answer", "answer"])
    assert [(type(frame), frame.seq) for frame in simulator.sent] == [
        (AcceptedFrame, 2),
        (AcceptedFrame, 3),
        (MessageFrame, 4),
        (MessageFrame, 5),
    ]


def test_message_frame_has_the_title_and_the_time_of_the_commit() -> None:
    """A commit of an earlier version has no title."""
    stored = simulate(["message", "answer"]).commits[-1].commit
    (answer,) = stored.events
    titled = msgspec.structs.replace(answer, title="Refunds specialist")
    for event, title in ((answer, ""), (titled, "Refunds specialist")):
        (frame,) = frames_of(msgspec.structs.replace(stored, events=[event], at=5.0), 3)
        assert isinstance(frame, MessageFrame)
        assert (frame.title, frame.at) == (title, 5.0)


def test_closed_conversation_is_closed_after_a_resume() -> None:
    """`closed` is a durable frame."""
    simulator = simulate(["message", "answer", "close"])
    ledger, frames = simulator.replay()
    assert ledger.closed
    assert frames == simulator.sent


def test_only_started_precedes_a_conversation_without_commits() -> None:
    """With and without an unsettled message."""
    simulator = ConversationSimulator()
    assert last_seq_before(simulator.commits, simulator.unsettled) == STARTED_SEQ
    simulator.message()
    assert last_seq_before(simulator.commits, simulator.unsettled) == STARTED_SEQ


def sample(type_: Any) -> Any:
    """Return a value of a type; structs with their required fields."""
    if get_origin(type_) is Literal:
        return get_args(type_)[0]
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        hints = get_type_hints(type_)
        return type_(
            **{field.name: sample(hints[field.name]) for field in msgspec.structs.fields(type_) if field.required}
        )
    return type_()


@pytest.mark.parametrize("type_", get_args(Event), ids=lambda type_: type_.__name__)
def test_conversation_and_ingress_count_the_same_frames(type_: type[Event]) -> None:
    """For every kind of event."""
    event = sample(type_)
    commit = msgspec.structs.replace(simulate(["person_reply"]).commits[0].commit, events=[event])
    assert frames_in([event]) == len(frames_of(commit, 2)) + isinstance(event, CustomerMessageEvent)

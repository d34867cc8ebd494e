"""Decisions of a conversation about messages and results."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from trunkline_conversation.core.decisions import (
    APOLOGY,
    LEFT,
    MAX_ATTEMPTS,
    Decision,
    assignment,
    first_step,
    on_result,
    outcome,
    retry,
)
from trunkline_conversation.core.handoffs import MAX_HOPS
from trunkline_conversation.core.state import Conversation, from_snapshot, to_snapshot
from trunkline_conversation.core.steps import Append, Drop, Turn, Work
from trunkline_protocols.accounting import ToolUse
from trunkline_protocols.ids import Specialty, TurnRef
from trunkline_protocols.log import Escalated, Event, HandedOff, OwnerAssigned, Started, ToolUsed, TurnAnswered
from trunkline_protocols.turn import TurnFailed, TurnResult

from tests.conversation.builders import answered, begun, committed, environment, fresh, handed_off, ref, routed


def decide(state: Conversation, turn: Turn, result: TurnResult) -> Decision:
    return on_result(state, turn, result, environment())


def owned_by_billing() -> Conversation:
    state, turn = fresh(), begun(fresh())
    turn = replace(turn, work=Work(specialty=Specialty("billing"), hop=1))
    append = decide(state, turn, answered(turn))
    assert isinstance(append, Append)
    return committed(state, append, inbox_seq=1, sequence=10)


def test_unowned_conversation_goes_to_triage_first() -> None:
    """It has no owner yet."""
    assert begun(fresh()).work.specialty == "triage"


def test_owner_answers_the_next_turn() -> None:
    """Ownership is kept until a handoff or an escalation."""
    assert begun(owned_by_billing(), 2).work.specialty == "billing"


def test_choice_of_triage_needs_no_separate_commit() -> None:
    """It is recorded in the same commit as the answer."""
    state, turn = fresh(), begun(fresh())
    choice = routed(turn, "billing")
    work = decide(state, turn, choice)
    assert work == Work(specialty=Specialty("billing"), agent="billing-one", hop=1)
    turn = replace(turn, work=work, assigned=assignment(choice))
    append = decide(state, turn, answered(turn))
    assert isinstance(append, Append)
    assert [type(event) for event in append.events] == [Started, OwnerAssigned, TurnAnswered]
    assert (append.kind, append.owner, append.epoch, append.then) == ("turn", "billing", 0, None)


def test_commit_keeps_the_title_of_the_agent() -> None:
    """An answer of the system has none."""
    turn = begun(fresh())
    append = decide(fresh(), turn, answered(turn, title="Refunds specialist"))
    assert isinstance(append, Append)
    assert [event.title for event in append.events if isinstance(event, TurnAnswered)] == ["Refunds specialist"]
    failed = decide(fresh(), turn, TurnFailed(ref=ref(turn), reason="no model", retryable=False))
    assert isinstance(failed, Append)
    assert [event.title for event in failed.events if isinstance(event, TurnAnswered)] == [""]


def test_small_talk_assigns_no_owner() -> None:
    """Triage answers a greeting without becoming the owner."""
    turn = begun(fresh())
    append = decide(fresh(), turn, answered(turn, owns=False))
    assert isinstance(append, Append)
    assert append.owner == ""


def test_handoff_is_a_commit_and_the_new_owner_answers_the_same_turn() -> None:
    """Ownership moves and the epoch is incremented."""
    state = owned_by_billing()
    turn = begun(state, 2)
    append = decide(state, turn, handed_off(turn, "technical"))
    assert isinstance(append, Append)
    assert (append.kind, append.owner, append.epoch) == ("handoff", "technical", 1)
    assert isinstance(append.then, Work)
    assert (append.then.specialty, append.then.hop) == ("technical", 1)
    after = committed(state, append, inbox_seq=2, sequence=11)
    assert (after.owner, after.epoch, after.note, after.inbox_seq) == ("technical", 1, "s", 1)


def test_tool_calls_are_committed_before_the_final_event() -> None:
    """The final event is an answer, a handoff, or the escalation of an impossible handoff."""
    state = owned_by_billing()
    turn = begun(state, 2)
    use = ToolUse(tool="issue-refund", outcome="done", arguments_sha256="0f", key="c1-2/0.1", ms=12.0)
    results: list[tuple[TurnResult, type[Event]]] = [
        (answered(turn, tools=[use]), TurnAnswered),
        (handed_off(turn, "technical", tools=[use]), HandedOff),
        (handed_off(turn, "unknown", tools=[use]), Escalated),
    ]
    for result, last in results:
        append = decide(state, turn, result)
        assert isinstance(append, Append)
        used, final = append.events
        assert used == ToolUsed(specialty="billing", use=use)
        assert isinstance(final, last)
        assert committed(state, append, inbox_seq=2, sequence=11).sequence == 11


@pytest.mark.parametrize("target", ["unknown", "billing"])
def test_handoff_to_an_impossible_target_is_escalated(target: str) -> None:
    """Impossible targets are unknown specialties and the current one."""
    state = owned_by_billing()
    turn = begun(state, 2)
    append = decide(state, turn, handed_off(turn, target))
    assert isinstance(append, Append)
    assert append.kind == "escalation"
    assert isinstance(append.events[-1], Escalated)
    assert isinstance(append.then, Work)
    assert append.then.specialty == "escalation"


def test_handoffs_in_a_circle_end_in_escalation() -> None:
    """The hop limit survives a crash because hops are counted in the log."""
    state = owned_by_billing()
    turn = begun(state, 2)
    for hop in range(MAX_HOPS):
        append = decide(state, turn, handed_off(turn, ("technical", "billing")[hop % 2], epoch=hop))
        assert isinstance(append, Append)
        assert isinstance(append.events[-1], HandedOff)
        state = committed(state, append, inbox_seq=2, sequence=11 + hop)
        turn = begun(state, 2)
    append = decide(state, turn, handed_off(turn, "technical", epoch=MAX_HOPS))
    assert isinstance(append, Append)
    assert append.kind == "escalation"


def test_late_result_of_an_earlier_attempt_is_dropped() -> None:
    """Only a result of the current attempt decides."""
    state = owned_by_billing()
    turn = begun(state, 2)
    next_attempt = retry(turn)
    assert next_attempt is not None
    assert isinstance(decide(state, replace(turn, work=next_attempt), answered(turn)), Drop)


def test_work_that_fails_at_every_attempt_is_answered_with_an_apology() -> None:
    """An accepted message always gets a reply."""
    state = owned_by_billing()
    turn = begun(state, 2)
    for attempt in range(2, MAX_ATTEMPTS + 1):
        failed = TurnFailed(
            ref=TurnRef(conversation=state.id, turn=turn.id, attempt=attempt - 1, hop=0),
            reason="no model",
            retryable=True,
        )
        work = decide(state, turn, failed)
        assert isinstance(work, Work)
        assert work.attempt == attempt
        turn = replace(turn, work=work)
    failed = TurnFailed(
        ref=TurnRef(conversation=state.id, turn=turn.id, attempt=MAX_ATTEMPTS, hop=0), reason="no model", retryable=True
    )
    append = decide(state, turn, failed)
    assert isinstance(append, Append)
    assert isinstance(append.events[-1], TurnAnswered)
    assert append.events[-1].answer == APOLOGY
    assert outcome(append.events[-1]) == "failed"
    assert append.owner == "billing"


def test_turn_whose_customer_has_left_is_settled_and_not_retried() -> None:
    """An accepted message always gets a reply."""
    state = owned_by_billing()
    turn = begun(state, 2)
    failed = TurnFailed(
        ref=TurnRef(conversation=state.id, turn=turn.id, attempt=1, hop=0),
        reason="left",
        retryable=True,
        cancelled=True,
    )
    append = decide(state, turn, failed)
    assert isinstance(append, Append)
    (event,) = append.events
    assert isinstance(event, TurnAnswered)
    assert (event.answer, event.abstained, append.then) == (LEFT, False, None)


def test_message_after_the_end_is_answered_without_an_agent() -> None:
    """It was accepted, so it gets a reply."""
    closed = msgspec.structs.replace(owned_by_billing(), closed=True)
    append = first_step(closed, begun(closed, 3), environment())
    assert isinstance(append, Append)
    assert isinstance(append.events[-1], TurnAnswered)
    assert "closed" in append.events[-1].answer


def test_snapshot_restores_the_state() -> None:
    """A state that is converted to a snapshot and back is unchanged."""
    state = owned_by_billing()
    assert from_snapshot(to_snapshot(state), "local") == state

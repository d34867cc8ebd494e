"""What a conversation decides: pure, fast, no broker."""

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
    retry,
)
from trunkline_conversation.core.handoffs import MAX_HOPS
from trunkline_conversation.core.state import Conversation, from_snapshot, to_snapshot
from trunkline_conversation.core.steps import Append, Drop, Turn, Work
from trunkline_protocols.accounting import ToolUse
from trunkline_protocols.ids import Specialty, TurnRef
from trunkline_protocols.log import Escalated, Event, HandedOff, OwnerAssigned, Started, ToolUsed, TurnAnswered
from trunkline_protocols.turn import TurnFailed, TurnResult

from tests.conversation.builders import answered, begun, committed, environment, fresh, handed_off, routed


def decide(state: Conversation, turn: Turn, result: TurnResult) -> Decision:
    return on_result(state, turn, result, environment())


def owned_by_billing() -> Conversation:
    state, turn = fresh(), begun(fresh())
    turn = replace(turn, work=Work(specialty=Specialty("billing"), hop=1))
    append = decide(state, turn, answered(turn))
    assert isinstance(append, Append)
    return committed(state, append, inbox_seq=1, sequence=10)


def test_unowned_conversation_goes_to_triage_first() -> None:
    """Nobody owns it yet."""
    assert begun(fresh()).work.specialty == "triage"


def test_owner_answers_the_next_turn() -> None:
    """The owner stays the owner."""
    assert begun(owned_by_billing(), 2).work.specialty == "billing"


def test_triages_choice_costs_no_commit_of_its_own() -> None:
    """It is recorded in the same commit as the answer."""
    state, turn = fresh(), begun(fresh())
    choice = routed(turn, "billing")
    work = decide(state, turn, choice)
    assert work == Work(specialty="billing", agent="billing-one", hop=1)
    turn = replace(turn, work=work, assigned=assignment(choice))
    append = decide(state, turn, answered(turn))
    assert isinstance(append, Append)
    assert [type(event) for event in append.events] == [Started, OwnerAssigned, TurnAnswered]
    assert (append.kind, append.owner, append.epoch, append.then) == ("turn", "billing", 0, None)


def test_small_talk_makes_nobody_the_owner() -> None:
    """A greeting is answered by triage and owned by nobody."""
    turn = begun(fresh())
    append = decide(fresh(), turn, answered(turn, owns=False))
    assert isinstance(append, Append)
    assert append.owner == ""


def test_handoff_is_a_commit_and_the_new_owner_answers_the_same_turn() -> None:
    """Ownership moves, epoch + 1."""
    state = owned_by_billing()
    turn = begun(state, 2)
    append = decide(state, turn, handed_off(turn, "technical"))
    assert isinstance(append, Append)
    assert (append.kind, append.owner, append.epoch) == ("handoff", "technical", 1)
    assert append.then is not None
    assert (append.then.specialty, append.then.hop, append.then.handed_off_from) == ("technical", 1, "billing")
    after = committed(state, append, inbox_seq=2, sequence=11)
    assert (after.owner, after.epoch, after.note, after.inbox_seq) == ("technical", 1, "s", 1)


def test_tools_that_were_called_are_committed_before_what_came_of_them() -> None:
    """With the answer, with a handoff, and with the escalation that a handoff becomes."""
    state = owned_by_billing()
    turn = begun(state, 2)
    use = ToolUse(tool="issue-refund", outcome="done", arguments_sha256="0f", key="c1-2/0.1", ms=12.0)
    results: list[tuple[TurnResult, type[Event]]] = [
        (answered(turn, tools=[use]), TurnAnswered),
        (handed_off(turn, "technical", tools=[use]), HandedOff),
        (handed_off(turn, "nobody", tools=[use]), Escalated),
    ]
    for result, last in results:
        append = decide(state, turn, result)
        assert isinstance(append, Append)
        used, became = append.events
        assert used == ToolUsed(specialty="billing", use=use)
        assert isinstance(became, last)
        assert committed(state, append, inbox_seq=2, sequence=11).sequence == 11


@pytest.mark.parametrize("target", ["nobody", "billing"])
def test_handoff_to_who_cannot_take_it_is_escalated(target: str) -> None:
    """An unknown target and oneself."""
    state = owned_by_billing()
    turn = begun(state, 2)
    append = decide(state, turn, handed_off(turn, target))
    assert isinstance(append, Append)
    assert append.kind == "escalation"
    assert isinstance(append.events[-1], Escalated)
    assert append.then is not None
    assert append.then.specialty == "escalation"


def test_handoffs_in_a_circle_end_in_escalation() -> None:
    """The hop limit holds, also over a crash in between: hops are counted in the log."""
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
    """Only what the turn waits for decides."""
    state = owned_by_billing()
    turn = begun(state, 2)
    again = retry(turn)
    assert again is not None
    assert isinstance(decide(state, replace(turn, work=again), answered(turn)), Drop)


def test_work_is_tried_a_limited_number_of_times_and_then_answered_honestly() -> None:
    """An accepted message never stays without an answer."""
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
    assert append.events[-1].text == APOLOGY
    assert append.owner == "billing"


def test_turn_whose_customer_has_left_is_settled_and_not_tried_again() -> None:
    """An accepted message never stays without an answer."""
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
    (said,) = append.events
    assert isinstance(said, TurnAnswered)
    assert (said.text, said.abstained, append.then) == (LEFT, False, None)


def test_message_after_the_end_is_answered_without_an_agent() -> None:
    """It was accepted, so it is answered."""
    closed = msgspec.structs.replace(owned_by_billing(), closed=True)
    append = first_step(closed, begun(closed, 3), environment())
    assert isinstance(append, Append)
    assert isinstance(append.events[-1], TurnAnswered)
    assert "closed" in append.events[-1].text


def test_snapshot_gives_back_the_state() -> None:
    """A snapshot is a shortcut: thawed, it is the same conversation."""
    state = owned_by_billing()
    assert from_snapshot(to_snapshot(state), "local") == state

"""Handoff: what happens when it cannot go where it was asked to go."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from trunkline_conversation.core.decisions import begin, on_result
from trunkline_conversation.core.handoffs import arbitrate
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Drop, Work
from trunkline_protocols.ids import Specialty, TurnId
from trunkline_protocols.log import Escalated, HandedOff
from trunkline_protocols.turn import HandOffTarget

from tests.conversation.builders import answered, begun, committed, environment, fresh, handed_off, routed


def target(to: str, confidence: float) -> HandOffTarget:
    return HandOffTarget(to=Specialty(to), agent=f"{to}-one", confidence=confidence)


def owned(owner: str = "billing") -> Conversation:
    return Conversation(id=fresh().id, region="local", sequence=10, inbox_seq=1, owner=owner, agent=f"{owner}-one")


def test_surest_of_several_targets_wins_and_all_are_recorded() -> None:
    """Several handoffs asked for at once: one wins, by rule."""
    state = owned()
    turn = begun(state, 2)
    others = [target("escalation", 0.9), target("billing", 1.0)]
    append = on_result(state, turn, handed_off(turn, "technical", confidence=0.4, others=others), environment())
    assert isinstance(append, Append)
    event = append.events[-1]
    assert isinstance(event, HandedOff)
    assert (event.to, append.owner) == ("escalation", "escalation")
    assert event.asked_for == ["technical", "escalation", "billing"]


def test_target_that_is_down_is_left_out() -> None:
    """The next surest takes it."""
    assert arbitrate([target("technical", 0.9), target("billing", 0.1)], frozenset({"technical"})) == target(
        "billing", 0.1
    )


def test_who_has_the_conversation_answers_when_every_target_is_down() -> None:
    """No commit, no lost turn: the next piece of work goes to the one who wanted to hand over, who keeps it."""
    state = owned()
    turn = begun(state, 2)
    step = on_result(state, turn, handed_off(turn, "technical"), environment(down=frozenset({"technical"})))
    assert step == Work(specialty=Specialty("billing"), agent="billing-one", hop=1)


def test_late_result_of_an_old_epoch_is_dropped() -> None:
    """After the handoff the old owner's answer counts for nothing."""
    state = owned()
    turn = begun(state, 2)
    append = on_result(state, turn, handed_off(turn, "technical"), environment())
    assert isinstance(append, Append)
    after = committed(state, append, inbox_seq=2, sequence=11)
    now = begun(after, 2)
    late = answered(now, epoch=0)
    assert isinstance(on_result(after, now, late, environment()), Drop)
    assert isinstance(on_result(after, now, answered(now, epoch=1), environment()), Append)


def test_owner_that_no_longer_exists_is_asked_for_no_more() -> None:
    """A specialty that a new fleet does not have: triage finds another."""
    state = owned("cooking")
    turn = begin(state, begun(state).message, turn=TurnId("t"), inbox_seq=2, specialties=environment().specialties)
    assert turn.work.specialty == "triage"


@pytest.mark.parametrize("to", ["cooking", "triage"])
def test_triage_that_chooses_nobody_is_escalated(to: str) -> None:
    """An unknown specialty, and itself."""
    turn = begun(fresh())
    append = on_result(fresh(), turn, routed(turn, to), environment())
    assert isinstance(append, Append)
    assert isinstance(append.events[-1], Escalated)


@given(
    st.lists(
        st.builds(target, st.sampled_from(["billing", "technical", "escalation"]), st.floats(0, 1)),
        max_size=6,
    ),
    st.frozensets(st.sampled_from(["billing", "technical", "escalation"])),
)
def test_winner_is_up_and_nobody_up_is_surer(targets: list[HandOffTarget], down: frozenset[str]) -> None:
    """The rule, for whatever is asked."""
    winner = arbitrate(targets, down)
    up = [asked for asked in targets if asked.to not in down]
    if winner is None:
        assert not up
    else:
        assert winner in up
        assert all(asked.confidence <= winner.confidence for asked in up)

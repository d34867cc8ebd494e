"""Handoffs: arbitration between targets, and targets that are down or unknown."""

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


def test_target_with_the_highest_confidence_wins_and_all_are_recorded() -> None:
    """If an agent requests several targets, exactly one becomes the owner."""
    state = owned()
    turn = begun(state, 2)
    others = [target("escalation", 0.9), target("billing", 1.0)]
    append = on_result(state, turn, handed_off(turn, "technical", confidence=0.4, others=others), environment())
    assert isinstance(append, Append)
    event = append.events[-1]
    assert isinstance(event, HandedOff)
    assert (event.to, append.owner) == ("escalation", "escalation")
    assert event.candidates == ["technical", "escalation", "billing"]


def test_target_that_is_down_is_skipped() -> None:
    """The target with the next highest confidence wins."""
    assert arbitrate([target("technical", 0.9), target("billing", 0.1)], frozenset({"technical"})) == target(
        "billing", 0.1
    )


def test_owner_answers_if_every_target_is_down() -> None:
    """The turn is not lost and needs no commit: the next hop goes to the agent that requested the handoff."""
    state = owned()
    turn = begun(state, 2)
    step = on_result(state, turn, handed_off(turn, "technical"), environment(down=frozenset({"technical"})))
    assert step == Work(specialty=Specialty("billing"), agent="billing-one", hop=1)


def test_late_result_of_an_old_epoch_is_dropped() -> None:
    """After a handoff, an answer of the previous owner is ignored."""
    state = owned()
    turn = begun(state, 2)
    append = on_result(state, turn, handed_off(turn, "technical"), environment())
    assert isinstance(append, Append)
    after = committed(state, append, inbox_seq=2, sequence=11)
    resumed = begun(after, 2)
    late = answered(resumed, epoch=0)
    assert isinstance(on_result(after, resumed, late, environment()), Drop)
    assert isinstance(on_result(after, resumed, answered(resumed, epoch=1), environment()), Append)


def test_owner_that_the_fleet_no_longer_has_is_replaced_by_triage() -> None:
    """A new fleet may lack the specialty of the owner; triage selects another one."""
    state = owned("cooking")
    turn = begin(state, begun(state).message, turn=TurnId("t"), inbox_seq=2, specialties=environment().specialties)
    assert turn.work.specialty == "triage"


@pytest.mark.parametrize("to", ["cooking", "triage"])
def test_impossible_choice_of_triage_is_escalated(to: str) -> None:
    """Impossible choices are an unknown specialty and triage itself."""
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
def test_winner_is_up_and_has_the_highest_confidence(targets: list[HandOffTarget], down: frozenset[str]) -> None:
    """The rule of arbitration holds for any targets."""
    winner = arbitrate(targets, down)
    up = [candidate for candidate in targets if candidate.to not in down]
    if winner is None:
        assert not up
    else:
        assert winner in up
        assert all(candidate.confidence <= winner.confidence for candidate in up)

"""Decisions about a roll-out, and the tally that they are made by."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from trunkline_ingress.core.rollout.decisions import (
    FINISHING_TIMEOUT_S,
    PREPARATION_TIMEOUT_S,
    UNAVAILABLE_TIMEOUT_S,
    Change,
    Finish,
    Publish,
    Published,
    R,
    Raise,
    RolloutFacts,
    Withdraw,
    after,
    decide,
    noted,
)
from trunkline_ingress.core.rollout.evidence import LIMIT
from trunkline_ingress.core.rollout.tally import ObservedCommit, ObservedEvent, RolloutTally, drawn_release
from trunkline_protocols import codec
from trunkline_protocols.accounting import Timings
from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.log import Commit, Escalated, Event, HandedOff, TurnAnswered
from trunkline_protocols.rollout import MAX_DECISIONS, FleetDraw, FleetRollout, ReleaseDraw, ReleaseRollout, TurnCounts
from trunkline_protocols.rules.rollout import is_drawn_to_candidate, is_drawn_to_colour

NOW = 10_000.0
NEW = FleetRollout(
    candidate=12,
    served=5,
    shares=[5, 25, 100],
    hold_s=600,
    min_turns=30,
    slow_s=1.0,
    started_at=NOW,
    started_by="ada",
    commits_after=7,
)
RUNNING = msgspec.structs.replace(NEW, phase="running", share=5, raised_at=NOW, raised_turns=100)
FINISHING = msgspec.structs.replace(NEW, phase="finishing", share=100, raised_at=NOW)
DRAW = FleetDraw(candidate=12, share=25)


def facts(turns: int = 0, **changes: Any) -> RolloutFacts:
    """Return facts at `NOW`, in which every process is up to date."""
    known: dict[str, Any] = {
        "now": NOW,
        "served_version": 5,
        "is_candidate_served": False,
        "behind": [],
        "behind_published": [],
        "candidate_turns": TurnCounts(turns=turns),
        "served_turns": TurnCounts(),
        "evidence": 1.0,
        "strongest": "failed",
    }
    return RolloutFacts(**(known | changes))


RELEASE = ReleaseRollout(
    number=7,
    candidate="green",
    served="blue",
    shares=[5, 25, 100],
    hold_s=600,
    min_turns=30,
    slow_s=1.0,
    started_at=NOW,
    started_by="ada",
    commits_after=7,
)
RUNNING_RELEASE = msgspec.structs.replace(RELEASE, phase="running", share=5, raised_at=NOW, raised_turns=100)


def replaced(state: R, **changes: Any) -> R:
    return msgspec.structs.replace(state, **changes)


@pytest.mark.parametrize(
    ("state", "known", "expected"),
    [
        pytest.param(NEW, facts(), Raise(5), id="all processes hold both versions"),
        pytest.param(NEW, facts(behind=["agents-1"]), None, id="a process trains"),
        pytest.param(
            NEW,
            facts(behind=["agents-1"], now=NOW + PREPARATION_TIMEOUT_S + 1),
            Withdraw("not loaded by agents-1"),
            id="a process cannot load the candidate",
        ),
        pytest.param(RUNNING, facts(130, now=NOW + 600), Raise(25), id="time and turns"),
        pytest.param(RUNNING, facts(130, now=NOW + 599), None, id="too early"),
        pytest.param(RUNNING, facts(129, now=NOW + 10**6), None, id="too few turns"),
        pytest.param(
            RUNNING, facts(130, now=NOW + 600, behind=["agents-2"]), Raise(25), id="a process restarts meanwhile"
        ),
        pytest.param(replaced(RUNNING, share=25), facts(130, now=NOW + 600), Raise(100), id="the last step"),
        pytest.param(replaced(RUNNING, is_paused=True), facts(130, now=NOW + 600), None, id="paused"),
        pytest.param(
            RUNNING,
            facts(served_version=6),
            Withdraw("version 6 was published meanwhile"),
            id="an operator applied another version",
        ),
        pytest.param(FINISHING, facts(), Publish(), id="publish"),
        pytest.param(
            FINISHING, facts(served_version=17, is_candidate_served=True), Published(17), id="the publisher died"
        ),
        pytest.param(
            FINISHING, facts(served_version=17), Withdraw("version 17 was published meanwhile"), id="another was faster"
        ),
        pytest.param(
            replaced(FINISHING, published=17), facts(served_version=17, behind_published=["agents-1"]), None, id="loads"
        ),
        pytest.param(
            replaced(FINISHING, published=17),
            facts(behind_published=["agents-1"], now=NOW + FINISHING_TIMEOUT_S + 1),
            Finish(),
            id="a process does not load",
        ),
        pytest.param(replaced(FINISHING, published=17), facts(served_version=17), Finish(), id="finish"),
    ],
)
def test_next_change(state: FleetRollout, known: RolloutFacts, expected: Change | Publish | None) -> None:
    """From the state and the facts alone."""
    assert decide(state, known) == expected


@pytest.mark.parametrize("state", [RUNNING, replaced(RUNNING, is_paused=True), replaced(NEW, is_paused=True)])
def test_worse_candidate_is_withdrawn_at_once(state: FleetRollout) -> None:
    """Before the hold and the turns of its share, and during a pause; the reason has the counts."""
    counts: dict[str, Any] = {
        "candidate_turns": TurnCounts(turns=31, failed=6),
        "served_turns": TurnCounts(turns=570, failed=1),
    }
    assert decide(state, facts(evidence=LIMIT - 0.01, **counts)) is None
    change = decide(state, facts(evidence=LIMIT, **counts))
    assert change == Withdraw("failed: 6 of 31 turns, and 1 of 570 of the served version")
    assert isinstance(change, Withdraw)
    withdrawn = after(state, change, facts(**counts), by="ingress-1")
    assert (withdrawn.phase, withdrawn.share, withdrawn.is_active) == ("withdrawn", 0, False)
    assert (withdrawn.decisions[-1].action, withdrawn.decisions[-1].reason) == ("withdrawn", change.reason)


def test_steps_lead_to_the_end() -> None:
    """Every change is in the record, whose length is bounded."""
    state, known = NEW, facts()
    shares = []
    for step in range(5):
        known = facts(40 * step, now=NOW + 600 * step, served_version=17 if state.published else 5)
        change = decide(state, known)
        if isinstance(change, Publish):
            change = Published(17)
        assert change is not None
        state = after(state, change, known, by="ingress-1")
        shares.append(state.share)
    assert (state.phase, shares) == ("finished", [5, 25, 100, 100, 100])
    assert [decision.action for decision in state.decisions] == ["raised", "raised", "finishing", "finished"]
    for _ in range(2 * MAX_DECISIONS):
        state = noted(state, "paused", at=NOW, by="ada")
    assert len(state.decisions) == MAX_DECISIONS


def conversations(*, candidate: bool, number: int) -> list[ConversationId]:
    """Return conversations that are drawn to one version."""
    drawn = (ConversationId(f"c{index}") for index in range(10_000))
    return [each for each in drawn if is_drawn_to_candidate(each, DRAW) is candidate][:number]


def commit(conversation: ConversationId, *events: Event, turn: int = 1, draw: FleetDraw | None = DRAW) -> bytes:
    """Return a commit at second 3 as it is stored."""
    return codec.encode(
        Commit(
            conversation=conversation,
            region="local",
            tenant="default",
            customer="ada",
            kind="turn",
            turn=TurnId(f"{conversation}-{turn}"),
            epoch=0,
            owner="billing",
            agent="billing-one",
            inbox_seq=turn,
            previous=0,
            frames_before=0,
            at=3.0,
            events=list(events),
            draw=draw,
        )
    )


def answered(*, abstained: bool = False, title: str = "Billing", received_at: float = 2.5) -> TurnAnswered:
    """Return an answer, half a second after its message."""
    return TurnAnswered(
        message_id="m",
        accepted_seq=1,
        text="Where?",
        received_at=received_at,
        answer="Here.",
        specialty="billing",
        agent="billing-one",
        abstained=abstained,
        title=title,
        timings=Timings(model_ms=1_000.0) if received_at < 2 else Timings(),
    )


def tally_of(*payloads: bytes) -> RolloutTally:
    tally = RolloutTally(12, slow_s=1.0)
    decoder: codec.Decoder[ObservedCommit] = codec.Decoder(ObservedCommit)
    for payload in payloads:
        tally.add(decoder.decode(payload))
    return tally


ESCALATED = Escalated(from_="billing", urgency="high", reason="r", summary="s")
HANDED_OFF = HandedOff(from_="a", to="b", agent="c", reason="r", summary="s", timings=Timings(model_ms=1_500.0))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([answered()], TurnCounts(turns=1)),
        ([answered(abstained=True)], TurnCounts(turns=1, abstained=1)),
        ([answered(abstained=True, title="")], TurnCounts(turns=1, failed=1)),
        ([answered(title="")], TurnCounts(turns=1)),
        ([ESCALATED, answered()], TurnCounts(turns=1, escalated=1)),
        ([answered(received_at=1.5)], TurnCounts(turns=1)),
        ([answered(received_at=0.5)], TurnCounts(turns=1, slow=1)),
        ([HANDED_OFF, answered(received_at=0.5)], TurnCounts(turns=1)),
    ],
)
@pytest.mark.parametrize("candidate", [True, False])
def test_outcomes_of_a_turn(events: list[Event], expected: TurnCounts, candidate: bool) -> None:  # noqa: FBT001
    """An apology has no title; the time of the models is no overhead, also that of an earlier commit."""
    (conversation,) = conversations(candidate=candidate, number=1)
    tally = tally_of(*(commit(conversation, event) for event in events))
    counts = (tally.candidate_turns, tally.served_turns)
    assert counts == ((expected, TurnCounts()) if candidate else (TurnCounts(), expected))


def test_only_conversations_of_this_rollout_count() -> None:
    """Older ones have another mixture of questions, and those of an earlier roll-out another candidate."""
    (conversation,) = conversations(candidate=True, number=1)
    bad = answered(abstained=True, title="")
    tally = tally_of(
        commit(conversation, bad, draw=None), commit(conversation, bad, draw=FleetDraw(candidate=11, share=25))
    )
    assert tally.candidate_turns == tally.served_turns == TurnCounts()
    assert tally.evidence.value == pytest.approx(1.0)


def test_conversation_is_evidence_once_per_outcome() -> None:
    """A customer who asks the same three times is one case; several conversations are several."""
    bad = answered(abstained=True, title="")
    first, *others = conversations(candidate=True, number=4)
    once = tally_of(commit(first, bad))
    again = tally_of(*(commit(first, bad, turn=turn) for turn in range(1, 4)))
    assert again.evidence.value == once.evidence.value > 1
    assert again.candidate_turns.failed == 3
    served = tally_of(*(commit(each, bad) for each in conversations(candidate=False, number=4)))
    assert served.evidence.value < 1
    assert tally_of(*(commit(each, bad) for each in (first, *others))).evidence.value > once.evidence.value


@pytest.mark.parametrize(
    ("state", "known", "expected"),
    [
        pytest.param(RELEASE, facts(), Raise(5), id="the agents of both are ready"),
        pytest.param(RELEASE, facts(behind=["green agents of billing"]), None, id="agents start"),
        pytest.param(
            RELEASE,
            facts(behind=["green agents of billing"], now=NOW + PREPARATION_TIMEOUT_S + 1),
            Withdraw("not loaded by green agents of billing"),
            id="agents do not become ready",
        ),
        pytest.param(RUNNING_RELEASE, facts(130, now=NOW + 600, served_version=6), Raise(25), id="time and turns"),
        pytest.param(
            RUNNING_RELEASE,
            facts(130, now=NOW + 600, unavailable="no green agents", unavailable_s=UNAVAILABLE_TIMEOUT_S),
            None,
            id="its agents restart",
        ),
        pytest.param(
            RUNNING_RELEASE,
            facts(unavailable="no green agents", unavailable_s=UNAVAILABLE_TIMEOUT_S + 1),
            Withdraw("no green agents"),
            id="its agents are gone",
        ),
        pytest.param(replaced(RUNNING_RELEASE, is_paused=True), facts(130, now=NOW + 600), None, id="paused"),
        pytest.param(replaced(RELEASE, phase="finishing", share=100), facts(), Finish(), id="nothing is published"),
    ],
)
def test_decision_about_a_release(state: ReleaseRollout, known: RolloutFacts, expected: Change | None) -> None:
    """As for a fleet version; its agents must be there, and it is in force at once."""
    assert decide(state, known) == expected


def test_finished_release_is_in_force() -> None:
    """And a withdrawn one is not."""
    assert after(replaced(RELEASE, phase="finishing"), Finish(), facts(), by="ingress-1").in_force == "green"
    assert after(RUNNING_RELEASE, Withdraw("failed"), facts(), by="ingress-1").in_force == "blue"


def test_tally_of_a_release_counts_by_its_own_draw() -> None:
    """Conversations without one, and those of another roll-out, do not count."""
    tally = RolloutTally(7, slow_s=1.0, drawn=drawn_release)
    draw = ReleaseDraw(rollout=7, share=50)
    answered = ObservedEvent(event="turn_answered", title="Billing")
    ids = [ConversationId(f"c{number}") for number in range(100)]
    for each in ids:
        for of_commit in (draw, ReleaseDraw(rollout=6, share=50), None):
            commit = ObservedCommit(
                conversation=each, turn=TurnId(f"{each}-1"), at=0.0, events=[answered], release_draw=of_commit
            )
            tally.add(commit)
    green = sum(is_drawn_to_colour(each, draw) for each in ids)
    assert (tally.candidate_turns.turns, tally.served_turns.turns) == (green, len(ids) - green)

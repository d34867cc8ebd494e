"""Parts of the admission: shares, turns in flight, and what a commit says about time."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st
from trunkline_ingress.core.admission import AdmissionController, AdmissionPolicy, SuiteLoad, TurnRefused
from trunkline_ingress.core.admission.commits import is_telling, outside_s
from trunkline_ingress.core.admission.shares import fair_share
from trunkline_ingress.core.admission.turns import InFlightTurns
from trunkline_protocols.accounting import ProviderAttempt, Timings, ToolUse
from trunkline_protocols.ids import ConversationId, turn_id
from trunkline_protocols.log import Commit, Consulted, Event, HandedOff, ToolUsed, TurnAnswered

ADA, BEN = ConversationId("c1"), ConversationId("c2")
DEMANDS = st.lists(st.floats(0, 100), min_size=1, max_size=8)


@given(demands=DEMANDS, capacity=st.floats(0, 200))
def test_share_meets_small_demands_and_fills_the_capacity(demands: list[float], capacity: float) -> None:
    """Max-min: no tenant gets more than it needs, and the capacity is used unless all demands are met."""
    share = fair_share(demands, capacity)
    used = sum(min(demand, share) for demand in demands)
    assert used == pytest.approx(min(capacity, sum(demands)), abs=1e-6)


def admitted(controller: AdmissionController, tenant: str, number: int) -> int:
    """Return how many of a number of turns are admitted at once."""
    return sum(not isinstance(controller.decide(tenant, 0.0, rng=0.5), TurnRefused) for _ in range(number))


def test_tenant_below_its_share_is_admitted_although_another_has_all() -> None:
    """Two tenants: the second gets its half at once, then it is refused too."""
    controller = AdmissionController(AdmissionPolicy(burst=10))
    assert admitted(controller, "flood", 50) == 10
    assert admitted(controller, "small", 50) == 5
    refused = controller.decide("small", 0.0, rng=0.5)
    assert isinstance(refused, TurnRefused)
    assert refused.reason == "tenant_share"


def test_tenant_without_others_gets_everything() -> None:
    """A refusal is then one by the limit."""
    controller = AdmissionController(AdmissionPolicy(burst=10))
    assert admitted(controller, "only", 50) == 10
    refused = controller.decide("only", 0.0, rng=0.5)
    assert isinstance(refused, TurnRefused)
    assert refused.reason == "limit"


@pytest.mark.parametrize(
    ("load", "expected"), [(SuiteLoad(2), 5), (SuiteLoad(outside=4), 14), (SuiteLoad(1, 6, 4), 12)]
)
def test_limit_is_the_part_of_the_burst_and_of_the_calls_outside(load: SuiteLoad, expected: int) -> None:
    """Half of the burst beside another ingress; of calls outside, the share of the turns in flight."""
    controller = AdmissionController(AdmissionPolicy(burst=10))
    controller.load = load
    assert admitted(controller, "", 50) == expected


def test_everything_is_admitted_while_a_gateway_does_not_report() -> None:
    """As one of an earlier version: what is at the models is not known."""
    controller = AdmissionController(AdmissionPolicy(burst=10))
    controller.load = SuiteLoad(outside=None)
    assert admitted(controller, "", 500) == 500


def test_everything_is_admitted_if_it_is_disabled() -> None:
    """Turns are counted nevertheless."""
    controller = AdmissionController(AdmissionPolicy(burst=10, is_enabled=False))
    assert admitted(controller, "", 500) == controller.turns.count.total == 500


# -- turns in flight ---


def test_turn_ends_with_the_commit_that_settles_it() -> None:
    """The second message of a conversation waits for the first one, which is no queue."""
    turns = InFlightTurns()
    turns.begin(turns.reserve("t"), ADA, 5, 10.0)
    turns.begin(turns.reserve("t"), ADA, 6, 10.5)
    turns.begin(turns.reserve("u"), BEN, 7, 11.0)
    assert (turns.count.total, dict(turns.by_tenant)) == (3, {"t": 2, "u": 1})
    turns.add_outside(ADA, 5, 1.0)
    (first,) = turns.settle(ADA, 5, 0.5, 12.0)
    assert first.overhead_s == pytest.approx(0.5)
    assert first.outside_s == pytest.approx(1.5)
    (second,) = turns.settle(ADA, 6, 0.0, 12.25)
    assert second.overhead_s == pytest.approx(0.25)
    assert (turns.count.total, dict(turns.by_tenant)) == (1, {"u": 1})


def test_commit_that_overtakes_the_storage_of_its_message_ends_the_turn() -> None:
    """Both are on their way at once: a turn that nothing ends would count for minutes."""
    turns = InFlightTurns()
    reservation = turns.reserve("t")
    assert turns.settle(ADA, 5, 0.0, 10.0) == []
    turns.begin(reservation, ADA, 5, 9.9)
    assert (turns.count.total, ADA in turns) == (0, False)
    turns.begin(turns.reserve("t"), ADA, 6, 11.0)
    assert turns.count.total == 1


def test_turn_is_counted_once_however_often_its_conversation_is_resumed() -> None:
    """And no longer if another ingress has it, or its commit was lost."""
    turns = InFlightTurns()
    turns.begin(turns.reserve("t"), ADA, 5, 10.0)
    turns.begin(turns.reserve("t"), ADA, 5, 11.0, is_new=False)
    assert turns.count.total == 1
    assert turns.start(ADA, 10.5) == pytest.approx(0.5)
    assert turns.start(ADA, 10.6) is None
    turns.forget(ADA)
    assert (turns.count.total, turns.count.started) == (0, 0)
    turns.begin(turns.reserve("t"), BEN, 6, 20.0)
    turns.forget_old(139.0)
    assert turns.count.total == 1
    turns.forget_old(141.0)
    assert turns.count.total == 0


# -- times of a commit ---


def commit_of(events: list[Event], conversation: ConversationId = ADA) -> Commit:
    return Commit(
        conversation=conversation,
        region="local",
        tenant="default",
        customer="ada",
        kind="turn",
        turn=turn_id(conversation, 5),
        epoch=1,
        owner="billing",
        agent="a",
        inbox_seq=5,
        previous=0,
        frames_before=0,
        at=0.0,
        events=events,
    )


ANSWERED = TurnAnswered(
    message_id="m1",
    accepted_seq=2,
    text="",
    received_at=0.0,
    answer="",
    specialty="billing",
    agent="a",
    title="Agent",
    timings=Timings(model_ms=2_000, context_ms=500),
)
HANDED_OFF = HandedOff(
    from_="a", to="b", agent="b1", reason="", summary="", timings=Timings(model_ms=1_500, completion_ms=4_000)
)
USE = ToolUse(tool="t", outcome="done", arguments_sha256="", ms=300)


def consulted(work_ms: float) -> Consulted:
    return Consulted(specialty="b", agent="b1", question="", advice="", work_ms=work_ms)


@pytest.mark.parametrize(
    ("events", "expected_s"),
    [
        ([ANSWERED], 2.5),
        (
            [
                consulted(400),
                consulted(700),
                ToolUsed(specialty="b", use=USE),
                ToolUsed(specialty="b", use=USE),
                ANSWERED,
            ],
            3.8,
        ),
        ([HANDED_OFF], 1.5),
        (
            [
                msgspec.structs.replace(
                    ANSWERED,
                    attempts=[ProviderAttempt(provider="p", model="m", outcome="timeout", ms=9_000)] * 2,
                )
            ],
            18.5,
        ),
    ],
)
def test_time_outside_is_that_of_models_tools_and_consulted_agents(events: list[Event], expected_s: float) -> None:
    """Consultations run at the same time; failed attempts of providers count, and the wait for facts."""
    assert outside_s(commit_of(events)) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ANSWERED, True),
        (msgspec.structs.replace(ANSWERED, title=""), False),
        (msgspec.structs.replace(ANSWERED, attempt=2), False),
        (HANDED_OFF, False),
    ],
    ids=["answer", "apology", "second attempt", "handoff"],
)
def test_apologies_and_second_attempts_say_nothing_about_queues(event: Event, expected: bool) -> None:  # noqa: FBT001
    """A provider that is down, or an agent that died, is no overload."""
    assert is_telling(commit_of([event])) is expected

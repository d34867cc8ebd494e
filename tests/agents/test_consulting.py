"""Consultation, both sides: who asks never waits for ever, who is asked never works for nobody."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from trunkline_agents.application.advisor import MOST_DEPTH, Advisor
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.routing import CurrentRouting, FleetRouting, RouterLoader
from trunkline_agents.core.consultations import MOST_PARTS, PlannedConsultation, clauses, plan_consultations
from trunkline_agents.core.routing.artefact import RoutingModel
from trunkline_agents.core.routing.router import Choice, Router, Vector
from trunkline_agents.core.routing.training import train
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.consultation import (
    Advice,
    AdviceRefused,
    Consult,
    ConsultCancelled,
    ConsultProgress,
    ConsultReply,
)
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, TurnRef

from tests.agents.colleagues import FakeColleagues, order, small_fleet

BILLING, TECHNICAL = Specialty("billing"), Specialty("technical")
ME = Instance("agents-billing-1")
FLEET = small_fleet()
ROUTER = Router(FLEET, train(FLEET, "test"))
BOTH = "I was charged twice on my invoice and my thermostat is offline"


def question(specialty: str = "technical", text: str = "my thermostat is offline") -> PlannedConsultation:
    return PlannedConsultation(text, Choice(specialty, FLEET.of(specialty)[0], 0.9))


def consulting(colleagues: FakeColleagues, *, silence_s: float = 5.0, longest_s: float = 10.0) -> ConsultationClient:
    return ConsultationClient(colleagues, ME, silence_s=silence_s, longest_s=longest_s)


def advice(consult: Consult, text: str = "Restart it.") -> Advice:
    return Advice(consultation=consult.consultation, specialty=consult.specialty, agent="technical-one", text=text)


# -- who asks ---


async def test_advice_comes_back_with_its_author() -> None:
    """Ownership stays; the commit gets question, author and time."""
    colleagues = FakeColleagues()
    asking = consulting(colleagues)
    colleagues.on_consult = lambda consult: asking.hear(advice(consult))
    asked = await asking.ask(order(BOTH), asked_by=BILLING, question=question(), number=1)
    assert (asked.outcome, asked.agent, asked.advice) == ("advised", "technical-one", "Restart it.")
    consult = colleagues.consults[0]
    assert (consult.asked_by, consult.specialty, consult.depth, consult.asker) == ("billing", "technical", 1, ME)


async def test_several_specialists_are_asked_at_once() -> None:
    """All are asked before the first answers; one that refuses spoils nothing."""
    colleagues = FakeColleagues()
    asking = consulting(colleagues)

    def answer_when_all_are_asked(_: Consult) -> None:
        if len(colleagues.consults) == 2:
            asking.hear(AdviceRefused(consultation=colleagues.consults[0].consultation, reason="no idea"))
            asking.hear(advice(colleagues.consults[1]))

    colleagues.on_consult = answer_when_all_are_asked
    both = await asking.ask_all(order(BOTH), BILLING, [question("triage"), question("technical")])
    assert [asked.outcome for asked in both] == ["refused", "advised"]
    assert both[0].reason == "no idea"


async def test_silent_specialist_is_given_up_and_told_so() -> None:
    """Cancel on time-out."""
    colleagues = FakeColleagues()
    asked = await consulting(colleagues, silence_s=0.02).ask(
        order(BOTH), asked_by=BILLING, question=question(), number=1
    )
    assert asked.outcome == "timeout"
    assert [cancelled.consultation for cancelled in colleagues.cancelled] == [asked.consultation]


async def test_progress_resets_the_timer() -> None:
    """A specialist that works for five times the patience still gives its advice."""
    colleagues = FakeColleagues()
    asking = consulting(colleagues, silence_s=0.2)

    async def work(consult: Consult) -> None:
        for _ in range(10):
            asking.hear(ConsultProgress(consultation=consult.consultation, instance=Instance("x")))
            await asyncio.sleep(0.1)
        asking.hear(advice(consult))

    async with asyncio.TaskGroup() as tasks:
        colleagues.on_consult = lambda consult: tasks.create_task(work(consult)) and None
        asked = await asking.ask(order(BOTH), asked_by=BILLING, question=question(), number=1)
    assert asked.outcome == "advised"
    assert not colleagues.cancelled


async def test_specialist_that_goes_on_and_on_is_cut_off_at_the_deadline() -> None:
    """Progress resets the timer, never the deadline."""
    colleagues = FakeColleagues()
    asking = consulting(colleagues, silence_s=5.0, longest_s=0.1)
    asked = await asking.ask(order(BOTH), asked_by=BILLING, question=question(), number=1)
    assert (asked.outcome, len(colleagues.cancelled)) == ("too_late", 1)


async def test_late_reply_is_ignored() -> None:
    """Whatever comes after the end of patience changes nothing, and disturbs no later question."""
    colleagues = FakeColleagues()
    asking = consulting(colleagues, silence_s=0.02)
    first = await asking.ask(order(BOTH), asked_by=BILLING, question=question(), number=1)
    asking.hear(advice(colleagues.consults[0]))
    colleagues.on_consult = lambda consult: asking.hear(advice(consult, "Now."))
    second = await asking.ask(order(BOTH, attempt=2), asked_by=BILLING, question=question(), number=1)
    assert (first.outcome, second.advice) == ("timeout", "Now.")


# -- who is asked ---


class Slow(FakeColleagues):
    """A model that never comes to an end, until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()
        self.stopped = False

    async def complete(self, order: Complete) -> CompletionReply:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped = True
        return Completed(text="", provider="p", model="m")


class NoShelf:
    """Nothing new is learnt here."""

    async def model(self, version: str, fleet: Fleet) -> RoutingModel:
        raise AssertionError(version)


def advising(colleagues: FakeColleagues, specialty: str = "technical") -> Advisor:
    experts = CurrentRouting(specialty, RouterLoader(NoShelf(), None), FleetRouting(1, FLEET, ROUTER))
    return Advisor(colleagues, Instance("agents-technical-1"), specialty=specialty, experts=experts, progress_s=0.05)


def consult(**changes: Any) -> Consult:
    fields: dict[str, Any] = {
        "consultation": "k1",
        "ref": TurnRef(conversation=ConversationId("c1"), turn=TurnId("c1-1"), attempt=1, hop=0),
        "specialty": TECHNICAL,
        "asked_by": "billing",
        "question": "my thermostat is offline",
        "context": Context(customer="ada", tenant="default", region="local", locale="en", transcript=[]),
        "depth": 1,
        "asker": ME,
        "asked_at": time.time(),
        "deadline_at": time.time() + 60,
    }
    return Consult(**(fields | changes))


def answers(colleagues: FakeColleagues) -> list[ConsultReply]:
    return [reply for _, reply in colleagues.replies if not isinstance(reply, ConsultProgress)]


async def test_specialist_tells_progress_and_then_its_advice() -> None:
    """To the process that asked."""
    colleagues = FakeColleagues(text="Restart it.")
    await advising(colleagues).advise(consult())
    assert {asker for asker, _ in colleagues.replies} == {ME}
    assert isinstance(colleagues.replies[0][1], ConsultProgress)
    (reply,) = answers(colleagues)
    assert isinstance(reply, Advice)
    assert (reply.text, reply.agent) == ("Restart it.", "technical-one")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"asked_by": "technical"}, "cannot consult itself"),
        ({"depth": MOST_DEPTH + 1}, f"{MOST_DEPTH} are allowed"),
        ({"deadline_at": 1.0}, "deadline"),
    ],
    ids=["itself", "too deep", "too late"],
)
async def test_question_that_must_not_be_answered_is_refused(changes: dict[str, Any], reason: str) -> None:
    """At once and with the reason; no model is asked."""
    colleagues = FakeColleagues()
    await advising(colleagues).advise(consult(**changes))
    (reply,) = answers(colleagues)
    assert isinstance(reply, AdviceRefused)
    assert reason in reply.reason
    assert not colleagues.completions


async def test_specialist_that_does_not_know_says_so() -> None:
    """An abstention is no advice."""
    colleagues = FakeColleagues(abstained=True)
    await advising(colleagues).advise(consult())
    assert isinstance(answers(colleagues)[0], AdviceRefused)


async def test_cancelled_question_stops_the_model() -> None:
    """Its cost ends with the asker's patience."""
    colleagues = Slow()
    specialist = advising(colleagues)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(specialist.advise(consult()))
        await colleagues.began.wait()
        specialist.cancel(ConsultCancelled(consultation="k1", reason="too slow"))
    assert colleagues.stopped
    assert not answers(colleagues)


async def test_question_cancelled_before_it_was_taken_is_never_begun() -> None:
    """The cancellation may overtake the work queue."""
    colleagues = FakeColleagues()
    specialist = advising(colleagues)
    specialist.cancel(ConsultCancelled(consultation="k1", reason="too slow"))
    await specialist.advise(consult())
    assert not colleagues.replies


# -- whom to ask ---


def test_part_of_another_field_is_a_question_for_its_specialist() -> None:
    """Only that part, only of those whom the agent may consult."""
    (found,) = plan_consultations(ROUTER, FLEET.of("billing")[0], BOTH)
    assert (found.choice.specialty, found.text) == ("technical", "my thermostat is offline")
    assert not plan_consultations(ROUTER, FLEET.of("triage")[0], BOTH)


def test_message_of_one_part_asks_nobody() -> None:
    """The whole message is the owner's, or a handoff."""
    assert not plan_consultations(ROUTER, FLEET.of("billing")[0], "my thermostat is offline and I am sad")


class CountingRouter(Router):
    """Counts how often it is asked."""

    asked = 0

    def choose(self, text: str, vector: Vector | None = None, *, asked_back: int = 0) -> Choice:
        self.asked += 1
        return super().choose(text, vector, asked_back=asked_back)


def test_page_of_a_story_is_looked_at_in_part() -> None:
    """Whom to ask must not cost more than the answer."""
    router = CountingRouter(FLEET, train(FLEET, "test"))
    (found,) = plan_consultations(router, FLEET.of("billing")[0], ". ".join([BOTH] * 200))
    assert found.choice.specialty == "technical"
    assert router.asked == MOST_PARTS


def test_clauses_keep_every_word() -> None:
    """What is too short to tell anything goes with what precedes it."""
    assert clauses("My card was charged twice. Why? And the router is offline") == [
        "My card was charged twice Why",
        "the router is offline",
    ]

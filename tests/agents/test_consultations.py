"""Consultations: timeouts and late replies for the requester, refusals and cancellation for the specialist."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from trunkline_agents.application.advisor import MAX_DEPTH, Advisor
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.routing import CurrentRouting, FleetRouting, RouterLoader
from trunkline_agents.core.consultations import MAX_PARTS, PlannedConsultation, plan_consultations, split_clauses
from trunkline_agents.core.routing.router import Embedding, Router, RoutingChoice
from trunkline_agents.core.routing.training import train
from trunkline_agents.ports import LanguageModel
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
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, TurnRef

from tests.agents.builders import BUILT_IN, make_request, small_fleet
from tests.agents.fakes import FakeConsultations, FakeKnowledgeBase, FakeModel, UnusedStore

BILLING, TECHNICAL = Specialty("billing"), Specialty("technical")
REQUESTER = Instance("agents-billing-1")
FLEET = small_fleet()
ROUTER = Router(FLEET, train(FLEET, "test", built_in=BUILT_IN))
BOTH = "I was charged twice on my invoice and my thermostat is offline"


def planned(specialty: str = "technical", text: str = "my thermostat is offline") -> PlannedConsultation:
    return PlannedConsultation(text, RoutingChoice(specialty, FLEET.of(specialty)[0], 0.9))


def make_client(
    consultations: FakeConsultations, *, idle_timeout_s: float = 5.0, timeout_s: float = 10.0
) -> ConsultationClient:
    return ConsultationClient(consultations, REQUESTER, idle_timeout_s=idle_timeout_s, timeout_s=timeout_s)


def advice(consult: Consult, text: str = "Restart it.") -> Advice:
    return Advice(consultation=consult.consultation, agent="technical-one", text=text)


# -- requester ---


async def test_advice_is_returned_with_its_author() -> None:
    """The request names the requester, so that ownership stays there."""
    consultations = FakeConsultations()
    client = make_client(consultations)
    consultations.on_request = lambda consult: client.on_reply(advice(consult))
    result = await client.consult(make_request(BOTH), planned(), number=1)
    assert (result.outcome, result.agent, result.advice) == ("advised", "technical-one", "Restart it.")
    consult = consultations.requests[0]
    assert (consult.requested_by, consult.specialty, consult.depth, consult.reply_to) == (
        "billing",
        "technical",
        1,
        REQUESTER,
    )


async def test_several_specialists_are_consulted_concurrently() -> None:
    """All requests are sent before the first reply; a refusal does not affect the others."""
    consultations = FakeConsultations()
    client = make_client(consultations)

    def reply_to_both(_: Consult) -> None:
        if len(consultations.requests) == 2:
            first, second = consultations.requests
            client.on_reply(AdviceRefused(consultation=first.consultation, reason="no idea"))
            client.on_reply(advice(second))

    consultations.on_request = reply_to_both
    both = await client.consult_all(make_request(BOTH), [planned("triage"), planned("technical")])
    assert [result.outcome for result in both] == ["refused", "advised"]
    assert both[0].reason == "no idea"


async def test_idle_specialist_is_cancelled() -> None:
    """The idle timeout ends the wait."""
    consultations = FakeConsultations()
    result = await make_client(consultations, idle_timeout_s=0.02).consult(make_request(BOTH), planned(), number=1)
    assert result.outcome == "timeout"
    assert [cancelled.consultation for cancelled in consultations.cancelled] == [result.consultation]


async def test_progress_resets_the_idle_timeout() -> None:
    """A specialist that works for five times the idle timeout still advises."""
    consultations = FakeConsultations()
    client = make_client(consultations, idle_timeout_s=0.2)

    async def work(consult: Consult) -> None:
        for _ in range(10):
            client.on_reply(ConsultProgress(consultation=consult.consultation))
            await asyncio.sleep(0.1)
        client.on_reply(advice(consult))

    async with asyncio.TaskGroup() as tasks:

        def start_work(consult: Consult) -> None:
            tasks.create_task(work(consult))

        consultations.on_request = start_work
        result = await client.consult(make_request(BOTH), planned(), number=1)
    assert result.outcome == "advised"
    assert not consultations.cancelled


async def test_specialist_is_cancelled_at_the_deadline() -> None:
    """Progress resets the idle timeout, never the deadline."""
    consultations = FakeConsultations()
    client = make_client(consultations, idle_timeout_s=5.0, timeout_s=0.1)
    result = await client.consult(make_request(BOTH), planned(), number=1)
    assert (result.outcome, len(consultations.cancelled)) == ("too_late", 1)


async def test_late_reply_is_ignored() -> None:
    """A reply after the timeout changes nothing and does not affect later requests."""
    consultations = FakeConsultations()
    client = make_client(consultations, idle_timeout_s=0.02)
    first = await client.consult(make_request(BOTH), planned(), number=1)
    client.on_reply(advice(consultations.requests[0]))
    consultations.on_request = lambda consult: client.on_reply(advice(consult, "Now."))
    second = await client.consult(make_request(BOTH, attempt=2), planned(), number=1)
    assert (first.outcome, second.advice) == ("timeout", "Now.")


# -- specialist ---


@dataclass
class EndlessModel:
    """A model that runs until it is cancelled."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False

    async def complete(self, request: Complete) -> CompletionReply:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped = True
        return Completed(text="", provider="p", model="m")


def make_advisor(consultations: FakeConsultations, model: LanguageModel) -> Advisor:
    loader = RouterLoader(UnusedStore(), "lexical", BUILT_IN)
    return Advisor(
        routing=CurrentRouting(loader, FleetRouting(1, FLEET, ROUTER)),
        knowledge=FakeKnowledgeBase(),
        model=model,
        consultations=consultations,
        progress_interval_s=0.05,
    )


def make_consult(**changes: Any) -> Consult:
    fields: dict[str, Any] = {
        "consultation": "k1",
        "ref": TurnRef(conversation=ConversationId("c1"), turn=TurnId("c1-1"), attempt=1, hop=0),
        "specialty": TECHNICAL,
        "requested_by": "billing",
        "question": "my thermostat is offline",
        "context": Context(tenant="default", region="local", locale="en", transcript=[]),
        "depth": 1,
        "reply_to": REQUESTER,
        "requested_at": time.time(),
        "deadline_at": time.time() + 60,
    }
    return Consult(**(fields | changes))


def final_replies(consultations: FakeConsultations) -> list[ConsultReply]:
    return [reply for _, reply in consultations.replies if not isinstance(reply, ConsultProgress)]


async def test_specialist_reports_progress_before_its_advice() -> None:
    """To the requesting process."""
    consultations = FakeConsultations()
    await make_advisor(consultations, FakeModel(text="Restart it.")).advise(make_consult())
    assert {recipient for recipient, _ in consultations.replies} == {REQUESTER}
    assert isinstance(consultations.replies[0][1], ConsultProgress)
    (reply,) = final_replies(consultations)
    assert isinstance(reply, Advice)
    assert (reply.text, reply.agent) == ("Restart it.", "technical-one")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"requested_by": "technical"}, "cannot consult itself"),
        ({"depth": MAX_DEPTH + 1}, f"{MAX_DEPTH} are allowed"),
        ({"deadline_at": 1.0}, "deadline"),
    ],
    ids=["itself", "too deep", "expired"],
)
async def test_invalid_request_is_refused(changes: dict[str, Any], reason: str) -> None:
    """Immediately and with the reason, without a completion."""
    consultations, model = FakeConsultations(), FakeModel()
    await make_advisor(consultations, model).advise(make_consult(**changes))
    (reply,) = final_replies(consultations)
    assert isinstance(reply, AdviceRefused)
    assert reason in reply.reason
    assert not model.completions


async def test_abstention_is_a_refusal() -> None:
    """An abstention is no advice."""
    consultations = FakeConsultations()
    await make_advisor(consultations, FakeModel(abstained=True)).advise(make_consult())
    assert isinstance(final_replies(consultations)[0], AdviceRefused)


async def test_cancelled_request_stops_the_model() -> None:
    """Its cost ends with the requester's wait."""
    consultations, model = FakeConsultations(), EndlessModel()
    advisor = make_advisor(consultations, model)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(advisor.advise(make_consult()))
        await model.started.wait()
        advisor.cancel(ConsultCancelled(consultation="k1"))
    assert model.stopped
    assert not final_replies(consultations)


async def test_request_cancelled_before_its_delivery_is_skipped() -> None:
    """The cancellation may overtake the work queue."""
    consultations = FakeConsultations()
    advisor = make_advisor(consultations, FakeModel())
    advisor.cancel(ConsultCancelled(consultation="k1"))
    await advisor.advise(make_consult())
    assert not consultations.replies


# -- planning ---


def test_part_of_another_field_is_planned_for_its_specialist() -> None:
    """Only that part, and only specialists that the agent may consult."""
    (found,) = plan_consultations(ROUTER, FLEET.of("billing")[0], BOTH)
    assert (found.choice.specialty, found.text) == ("technical", "my thermostat is offline")
    assert not plan_consultations(ROUTER, FLEET.of("triage")[0], BOTH)


def test_message_with_one_part_needs_no_consultation() -> None:
    """The whole message belongs to the owner, or is handed off."""
    assert not plan_consultations(ROUTER, FLEET.of("billing")[0], "my thermostat is offline and I am sad")


class CountingRouter(Router):
    """Counts the classified messages."""

    choices = 0

    def choose(
        self, text: str, embedding: Embedding | None = None, *, conversation: str = "", clarifications: int = 0
    ) -> RoutingChoice:
        self.choices += 1
        return super().choose(text, embedding, conversation=conversation, clarifications=clarifications)


def test_number_of_classified_parts_is_limited() -> None:
    """Planning must cost less than the answer."""
    router = CountingRouter(FLEET, train(FLEET, "test", built_in=BUILT_IN))
    (found,) = plan_consultations(router, FLEET.of("billing")[0], ". ".join([BOTH] * 200))
    assert found.choice.specialty == "technical"
    assert router.choices == MAX_PARTS


def test_clauses_keep_every_word() -> None:
    """A short clause is joined to the one before it."""
    assert split_clauses("My card was charged twice. Why? And the router is offline") == [
        "My card was charged twice Why",
        "the router is offline",
    ]

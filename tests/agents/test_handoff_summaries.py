"""Handoff summaries: written by a model within its time limit, otherwise extracted from the conversation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.core.routing.router import Router
from trunkline_agents.core.routing.training import train
from trunkline_protocols.accounting import Usage
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.context import Context, Utterance
from trunkline_protocols.refusal import Refused
from trunkline_protocols.turn import Answered, AnswerTurn, HandOff

from tests.agents.builders import BUILT_IN, make_request, make_task, make_worker, small_fleet
from tests.agents.fakes import FakeModel

TRANSCRIPT = [
    Utterance(role="customer", text="I was charged twice on my invoice"),
    Utterance(role="agent", text="We refund one of the two.", specialty="billing"),
]
CONTEXT = Context(tenant="shop", region="eu", locale="en", transcript=TRANSCRIPT)
EXTRACT = """customer: I was charged twice on my invoice
billing: We refund one of the two.
customer: my thermostat is offline"""


@dataclass
class SummaryModel(FakeModel):
    """A model that replies to summary requests with `reply`, or never without one."""

    reply: CompletionReply | None = field(
        default_factory=lambda: Completed(
            text=" Ada was charged twice; one is refunded. ",
            provider="ours",
            model="small",
            usage=Usage(output_tokens=9, cost=0.01),
            model_ms=80.0,
        )
    )

    async def complete(self, request: Complete) -> CompletionReply:
        if request.purpose != "summary":
            return await super().complete(request)
        self.completions.append(request)
        if self.reply is None:
            await asyncio.Event().wait()
        assert self.reply is not None
        return self.reply


def handoff_request(context: Context = CONTEXT) -> AnswerTurn:
    return make_request("my thermostat is offline", hop=0, context=context)


def make_summariser(
    model: SummaryModel, *, timeout_s: float = 30.0, clock: list[float] | None = None
) -> HandoffSummariser:
    times = clock or [0.0]
    return HandoffSummariser(model, timeout_s=timeout_s, clock=lambda: times[0])


async def test_model_writes_the_summary() -> None:
    """The request contains the whole conversation; usage and time are recorded."""
    model = SummaryModel()
    summary = await make_summariser(model).summarise(handoff_request(), "r1")
    assert (summary.text, summary.model) == ("Ada was charged twice; one is refunded.", "small")
    assert (summary.usage.cost, summary.model_ms) == (0.01, 80.0)
    (request,) = model.completions
    assert (request.request_id, request.region, request.tenant, request.stream_to) == ("r1", "eu", "shop", None)
    assert request.text == EXTRACT


async def test_slow_model_delays_the_handoff_until_the_timeout_only() -> None:
    """An extract takes its place."""
    async with asyncio.timeout(20):
        summary = await make_summariser(SummaryModel(reply=None), timeout_s=0.05).summarise(handoff_request(), "r1")
    assert (summary.text, summary.model) == (EXTRACT, "")


@pytest.mark.parametrize(
    "reply",
    [
        Refused(code="deadline", message="no whole answer", retryable=False),
        Refused(code="unavailable", message="gone", retryable=True),
        Completed(text=" \n", provider="ours", model="small"),
    ],
    ids=["deadline", "gateway unavailable", "empty text"],
)
async def test_failure_of_the_model_does_not_fail_the_handoff(reply: CompletionReply) -> None:
    """The next handoff tries again."""
    model = SummaryModel(reply=reply)
    summariser = make_summariser(model)
    for request_id in ("r1", "r2"):
        assert (await summariser.summarise(handoff_request(), request_id)).text == EXTRACT
    assert len(model.completions) == 2


async def test_gateway_without_a_model_is_not_requested_again_for_a_while() -> None:
    """With the built-in provider alone, a handoff costs no extra round trip."""
    refusal = Refused(code="unavailable", message="no provider of the route can write this", retryable=False)
    model, clock = SummaryModel(reply=refusal), [0.0]
    summariser = make_summariser(model, clock=clock)
    for _ in range(3):
        assert (await summariser.summarise(handoff_request(), "r1")).text == EXTRACT
    assert len(model.completions) == 1
    clock[0] = 60.0
    await summariser.summarise(handoff_request(), "r2")
    assert len(model.completions) == 2


@pytest.mark.parametrize(
    ("context", "timeout_s"),
    [(msgspec.structs.replace(CONTEXT, transcript=[]), 30.0), (CONTEXT, 0.0)],
    ids=["first message", "disabled"],
)
async def test_model_is_not_requested_without_need(context: Context, timeout_s: float) -> None:
    """A single message is its own summary."""
    model = SummaryModel()
    summary = await make_summariser(model, timeout_s=timeout_s).summarise(handoff_request(context), "r1")
    assert summary.text.endswith("customer: my thermostat is offline")
    assert not model.completions


async def test_only_a_handoff_requests_a_summary() -> None:
    """A plain turn has one completion: its answer."""
    fleet = small_fleet()
    routing = FleetRouting(1, fleet, Router(fleet, train(fleet, "test", built_in=BUILT_IN)))
    model = SummaryModel()
    worker = make_worker(model, summariser=make_summariser(model))
    moved = await worker.process(make_task(handoff_request(), routing))
    assert isinstance(moved, HandOff)
    assert (moved.to, moved.model, moved.timings.model_ms) == ("technical", "small", 80.0)
    plain = msgspec.structs.replace(handoff_request(), text="I was charged twice on my invoice")
    assert isinstance(await worker.process(make_task(plain, routing)), Answered)
    assert [request.purpose for request in model.completions] == ["summary", "answer"]

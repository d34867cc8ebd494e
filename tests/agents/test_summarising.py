"""What the next agent is told: by a model where one can in time, else in the conversation's own words."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.application.tool_loop import ToolLoop
from trunkline_agents.application.turn_worker import Stopwatch, TurnWorker
from trunkline_agents.core.routing.router import Router
from trunkline_agents.core.routing.training import train
from trunkline_protocols.accounting import Usage
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.completion import Complete, Completed, CompletionReply, ToolStep, ToolStepNoted
from trunkline_protocols.context import Context, Utterance
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import Refused
from trunkline_protocols.turn import Answered, AnswerTurn, HandOff

from tests.agents.colleagues import FakeColleagues, order, small_fleet

ME = Instance("agents-billing-1")
SAID = [
    Utterance(role="customer", text="I was charged twice on my invoice"),
    Utterance(role="agent", text="We refund one of the two.", specialty="billing", agent="billing-one"),
]
CONTEXT = Context(customer="ada", tenant="shop", region="eu", locale="en", transcript=SAID)
OWN_WORDS = """customer: I was charged twice on my invoice
billing: We refund one of the two.
customer: my thermostat is offline"""


@dataclass
class Writers(FakeColleagues):
    """A gateway that answers summaries with `reply`; None: never."""

    reply: CompletionReply | None = field(
        default_factory=lambda: Completed(
            text=" Ada was charged twice; one is refunded. ",
            provider="ours",
            model="small",
            usage=Usage(output_tokens=9, cost=0.01),
            model_ms=80.0,
        )
    )

    async def complete(self, order: Complete) -> CompletionReply:
        if order.purpose != "summary":
            return await super().complete(order)
        self.completions.append(order)
        if self.reply is None:
            await asyncio.Event().wait()
        assert self.reply is not None
        return self.reply


def turn(context: Context = CONTEXT) -> AnswerTurn:
    return order("my thermostat is offline", hop=0, context=context)


def summarising(colleagues: Writers, *, longest_s: float = 30.0, clock: list[float] | None = None) -> HandoffSummariser:
    times = clock or [0.0]
    return HandoffSummariser(colleagues, longest_s=longest_s, clock=lambda: times[0])


async def test_model_writes_the_summary() -> None:
    """It is shown the whole conversation, and what it used is kept."""
    colleagues = Writers()
    summary = await summarising(colleagues).write(turn(), "r1")
    assert (summary.text, summary.model) == ("Ada was charged twice; one is refunded.", "small")
    assert (summary.usage.cost, summary.model_ms) == (0.01, 80.0)
    (asked,) = colleagues.completions
    assert (asked.request_id, asked.region, asked.tenant, asked.stream_to) == ("r1", "eu", "shop", None)
    assert asked.question == OWN_WORDS


async def test_slow_model_holds_the_handoff_no_longer_than_it_may() -> None:
    """The conversation's own words take its place."""
    async with asyncio.timeout(20):
        summary = await summarising(Writers(reply=None), longest_s=0.05).write(turn(), "r1")
    assert (summary.text, summary.model) == (OWN_WORDS, "")


@pytest.mark.parametrize(
    "reply",
    [
        Refused(code="deadline", message="no whole answer", retryable=False),
        Refused(code="unavailable", message="gone", retryable=True),
        Completed(text=" \n", provider="ours", model="small"),
    ],
    ids=["deadline", "gateway away", "nothing written"],
)
async def test_failure_of_the_model_is_none_of_the_handoff(reply: CompletionReply) -> None:
    """The next handoff tries again."""
    colleagues = Writers(reply=reply)
    writing = summarising(colleagues)
    for request in ("r1", "r2"):
        assert (await writing.write(turn(), request)).text == OWN_WORDS
    assert len(colleagues.completions) == 2


async def test_gateway_without_a_model_is_not_asked_again_for_a_while() -> None:
    """Where the built-in provider serves, a handoff costs no more than before."""
    refusal = Refused(code="unavailable", message="no provider of the route can write this", retryable=False)
    colleagues, clock = Writers(reply=refusal), [0.0]
    writing = summarising(colleagues, clock=clock)
    for _ in range(3):
        assert (await writing.write(turn(), "r1")).text == OWN_WORDS
    assert len(colleagues.completions) == 1
    clock[0] = 60.0
    await writing.write(turn(), "r2")
    assert len(colleagues.completions) == 2


@pytest.mark.parametrize(
    ("context", "longest_s"),
    [(msgspec.structs.replace(CONTEXT, transcript=[]), 30.0), (CONTEXT, 0.0)],
    ids=["nothing said before", "switched off"],
)
async def test_model_is_not_asked_where_there_is_nothing_to_write(context: Context, longest_s: float) -> None:
    """One message is its own summary."""
    colleagues = Writers()
    summary = await summarising(colleagues, longest_s=longest_s).write(turn(context), "r1")
    assert summary.text.endswith("customer: my thermostat is offline")
    assert not colleagues.completions


class NoJournal:
    """Nobody uses tools here."""

    async def steps(self, order: AnswerTurn) -> list[ToolStepNoted]:
        raise AssertionError(order)

    async def begin(self, order: AnswerTurn, number: int, step: ToolStep, by: str) -> ToolStepNoted:
        raise AssertionError(number)

    async def end(self, order: AnswerTurn, number: int, step: ToolStep, by: str) -> None:
        raise AssertionError(number)


class EmptyBoard:
    """No notice is in force."""

    def for_agents(self, *, tenant: str, specialty: str) -> list[NoticePublished]:
        return []


async def test_only_a_handoff_asks_for_a_summary() -> None:
    """A plain turn has one completion: its answer."""
    fleet = small_fleet()
    expertise = FleetRouting(1, fleet, Router(fleet, train(fleet, "test")))
    colleagues = Writers()
    worker = TurnWorker(
        instance=ME,
        specialty="billing",
        colleagues=colleagues,
        consulting=ConsultationClient(colleagues, ME, silence_s=5.0, longest_s=10.0),
        toolbox=ToolLoop(colleagues, NoJournal(), {}),
        board=EmptyBoard(),
        summarising=summarising(colleagues),
    )
    moved = await worker.result(turn(), expertise, Stopwatch(0.0))
    assert isinstance(moved, HandOff)
    assert (moved.to, moved.model, moved.timings.model_ms) == ("technical", "small", 80.0)
    plain = msgspec.structs.replace(turn(), text="I was charged twice on my invoice")
    assert isinstance(await worker.result(plain, expertise, Stopwatch(0.0)), Answered)
    assert [asked.purpose for asked in colleagues.completions] == ["summary", "answer"]

"""Builders of fleets, turns and workers for tests of agents."""

from __future__ import annotations

from typing import Any

from trunkline_agents.adapters.package_data import built_in_examples, language_texts
from trunkline_agents.application.answer_writer import AnswerWriter
from trunkline_agents.application.completion_ids import CompletionIds
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.message_analyst import MessageAnalyst
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.application.stopwatch import Stopwatch
from trunkline_agents.application.tool_loop import ToolLoop
from trunkline_agents.application.turn_task import TurnTask
from trunkline_agents.application.turn_worker import TurnWorker
from trunkline_agents.ports import KnowledgeSearch, LanguageModel, MessageAnalysisSource, ToolPorts
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Agent, Company, Fleet, KnowledgeFilter
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, TurnRef
from trunkline_protocols.turn import AnswerTurn

from tests.agents.fakes import (
    FakeConsultations,
    FakeKnowledgeBase,
    NoNotices,
    UnusedChecker,
    UnusedLedger,
    UnusedLimits,
)
from tests.support.borders import ListedBorders

INSTANCE = Instance("agents-1")
BUILT_IN = built_in_examples()
LANGUAGES = language_texts()
REF_FIELDS = ("turn", "attempt", "hop", "epoch")


def make_agent(specialty: str, examples: list[str], **changes: Any) -> Agent:
    """Return an agent with each example five times, in different wording."""
    repeated = [f"{text} {number}" if number else text for number in range(5) for text in examples]
    fields: dict[str, Any] = {
        "name": f"{specialty}-one",
        "specialty": specialty,
        "title": f"{specialty} specialist",
        "description": specialty,
        "tone": "calm",
        "hand_off_to": [],
        "examples": repeated,
        "knowledge": KnowledgeFilter(topics=[specialty]),
    }
    return Agent(**(fields | changes))


def small_fleet(**billing: Any) -> Fleet:
    """Return a fleet of triage, billing and technical, whose examples are clearly distinct."""
    company = Company(name="A", description="B.", greeting="Hello.", clarify="What?", abstain="?", examples=["x"])
    return Fleet(
        company=company,
        agents=[
            make_agent("triage", ["hello there", "good morning"]),
            make_agent(
                "billing",
                ["I was charged twice on my invoice", "refund the payment to my card"],
                **({"consult": ["technical"], "hand_off_to": ["technical"]} | billing),
            ),
            make_agent(
                "technical", ["the router lost its wifi connection", "my thermostat is offline"], consult=["billing"]
            ),
        ],
    )


def make_request(text: str, *, specialty: str = "billing", **changes: Any) -> AnswerTurn:
    """Return a turn for agents; fields of its `TurnRef` may be given directly."""
    ref: dict[str, Any] = {"conversation": ConversationId("c1"), "turn": TurnId("c1-1"), "attempt": 1, "hop": 1}
    ref |= {name: changes.pop(name) for name in REF_FIELDS if name in changes}
    fields: dict[str, Any] = {
        "ref": TurnRef(**ref),
        "specialty": Specialty(specialty),
        "agent": "",
        "text": text,
        "context": Context(tenant="default", region="local", locale="en", transcript=[], customer="ada", tier="plus"),
        "reply_to": Instance("conversation-1"),
        "ingress": Instance("ingress-1"),
        "dispatched_at": 0.0,
        "deadline_at": 4e9,
    }
    return AnswerTurn(**(fields | changes))


def make_task(request: AnswerTurn, routing: FleetRouting) -> TurnTask:
    """Return a task that spent no time in the queue."""
    return TurnTask(request, routing, Stopwatch(0.0))


def make_worker(
    model: LanguageModel,
    *,
    summariser: HandoffSummariser | None = None,
    knowledge: KnowledgeSearch | None = None,
    analyses: MessageAnalysisSource | None = None,
) -> TurnWorker:
    """Return a worker without notices or reachable specialists; summaries are extracts by default."""
    ids = CompletionIds(INSTANCE, start=1)
    consultations = ConsultationClient(FakeConsultations(), INSTANCE, idle_timeout_s=0.01, timeout_s=0.01)
    writer = AnswerWriter(
        knowledge=knowledge or FakeKnowledgeBase(),
        model=model,
        consultations=consultations,
        tool_loop=ToolLoop(model, UnusedLedger(), ToolPorts({}, UnusedChecker(), UnusedLimits(), ListedBorders())),
        notices=NoNotices(),
        ids=ids,
    )
    return TurnWorker(
        instance=INSTANCE,
        analyst=MessageAnalyst(analyses or FakeKnowledgeBase()),
        languages=LANGUAGES,
        writer=writer,
        summariser=summariser or HandoffSummariser(model, timeout_s=0.0),
        ids=ids,
        reader_addresses={},
    )

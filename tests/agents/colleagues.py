"""Colleagues in memory, for tests of agents: what was said to whom is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.consultation import Consult, ConsultCancelled, ConsultReply
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Agent, Company, Fleet, KnowledgeFilter
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, TurnRef
from trunkline_protocols.knowledge import Passage, SearchKnowledge
from trunkline_protocols.turn import AgentMessage, AnswerTurn


@dataclass
class FakeColleagues:
    """Everybody answers at once; `on_consult` says what a specialist does."""

    on_consult: Callable[[Consult], None] = lambda _: None
    text: str = "Soon."
    abstained: bool = False
    consults: list[Consult] = field(default_factory=list)
    cancelled: list[ConsultCancelled] = field(default_factory=list)
    replies: list[tuple[Instance, ConsultReply]] = field(default_factory=list)
    completions: list[Complete] = field(default_factory=list)
    reports: list[AgentMessage] = field(default_factory=list)

    async def search(self, query: SearchKnowledge) -> list[Passage]:
        return [Passage(document="refunds", title="Refunds", text="Refunds take 5 days.", score=0.9)]

    async def complete(self, order: Complete) -> CompletionReply:
        self.completions.append(order)
        return Completed(text=self.text, provider="p", model="m", abstained=self.abstained)

    async def report(self, owner: Instance, message: AgentMessage) -> None:
        self.reports.append(message)

    async def consult(self, question: Consult) -> None:
        self.consults.append(question)
        self.on_consult(question)

    async def cancel_consult(self, specialty: str, cancelled: ConsultCancelled) -> None:
        self.cancelled.append(cancelled)

    async def advise(self, asker: Instance, reply: ConsultReply) -> None:
        self.replies.append((asker, reply))


def agent(specialty: str, examples: list[str], **changes: Any) -> Agent:
    """An agent that knows these examples, ten or more."""
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


def small_fleet() -> Fleet:
    """Triage, billing and technical, told apart without any doubt."""
    company = Company(name="A", description="B.", greeting="Hello.", clarify="What?", abstain="?", examples=["x"])
    return Fleet(
        company=company,
        agents=[
            agent("triage", ["hello there", "good morning"]),
            agent(
                "billing",
                ["I was charged twice on my invoice", "refund the payment to my card"],
                consult=["technical"],
                hand_off_to=["technical"],
            ),
            agent(
                "technical", ["the router lost its wifi connection", "my thermostat is offline"], consult=["billing"]
            ),
        ],
    )


def order(text: str, *, specialty: str = "billing", **changes: Any) -> AnswerTurn:
    """A turn for agents."""
    fields: dict[str, Any] = {
        "specialty": Specialty(specialty),
        "agent": "",
        "text": text,
        "context": Context(customer="ada", tenant="default", region="local", locale="en", transcript=[]),
        "reply_to": Instance("conversation-1"),
        "ingress": Instance("ingress-1"),
        "dispatched_at": 0.0,
        "deadline_at": 4e9,
    }
    ref = {name: changes.pop(name) for name in ("turn", "attempt", "hop", "epoch") if name in changes}
    fields["ref"] = TurnRef(
        **({"conversation": ConversationId("c1"), "turn": TurnId("c1-1"), "attempt": 1, "hop": 1} | ref)
    )
    return AnswerTurn(**(fields | changes))

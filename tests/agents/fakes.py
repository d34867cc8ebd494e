"""In-memory fakes of the agents' ports that record their calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trunkline_agents.core.routing.artefact import RoutingModel
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.consultation import Consult, ConsultCancelled, ConsultReply
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Fleet, Tool
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import AnalyseMessage, MessageAnalysed, Passage, SearchKnowledge
from trunkline_protocols.tool_steps import ToolStep, ToolStepRecorded
from trunkline_protocols.turn import AnswerTurn

PASSAGE = Passage(document="refunds", title="Refunds", text="Refunds take 5 days.", score=0.9)


@dataclass
class FakeKnowledgeBase:
    """A knowledge base that returns the same passage for every query."""

    queries: list[SearchKnowledge] = field(default_factory=list)
    analysis: MessageAnalysed = field(default_factory=MessageAnalysed)
    analyses: list[AnalyseMessage] = field(default_factory=list)

    async def search(self, query: SearchKnowledge) -> list[Passage]:
        self.queries.append(query)
        return [PASSAGE]

    async def analyse(self, request: AnalyseMessage) -> MessageAnalysed:
        self.analyses.append(request)
        return self.analysis


@dataclass
class FakeModel:
    """A model that answers every request with the same text."""

    text: str = "Soon."
    abstained: bool = False
    completions: list[Complete] = field(default_factory=list)

    async def complete(self, request: Complete) -> CompletionReply:
        self.completions.append(request)
        return Completed(text=self.text, provider="p", model="m", abstained=self.abstained)


@dataclass
class ScriptedModel:
    """A model whose reply is a function of the request."""

    script: Callable[[Complete], CompletionReply]
    completions: list[Complete] = field(default_factory=list)

    async def complete(self, request: Complete) -> CompletionReply:
        self.completions.append(request)
        return self.script(request)


@dataclass
class FakeConsultations:
    """Records consultations; `on_request` acts as the specialist."""

    on_request: Callable[[Consult], None] = lambda _: None
    requests: list[Consult] = field(default_factory=list)
    cancelled: list[ConsultCancelled] = field(default_factory=list)
    replies: list[tuple[Instance, ConsultReply]] = field(default_factory=list)

    async def request(self, consult: Consult) -> None:
        self.requests.append(consult)
        self.on_request(consult)

    async def cancel(self, specialty: str, cancelled: ConsultCancelled) -> None:
        self.cancelled.append(cancelled)

    async def reply(self, recipient: Instance, reply: ConsultReply) -> None:
        self.replies.append((recipient, reply))


class UnusedLedger:
    """A tool ledger for tests without side effects: any call fails the test."""

    async def steps(self, request: AnswerTurn) -> list[ToolStepRecorded]:
        raise AssertionError(request)

    async def begin(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> ToolStepRecorded:
        raise AssertionError(number)

    async def end(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> None:
        raise AssertionError(number)


class UnusedChecker:
    """A schema checker for tests without external tools: any call fails the test."""

    async def find_violation(self, schema: dict[str, Any], arguments: dict[str, Any]) -> str:
        raise AssertionError(arguments)


class UnusedLimits:
    """Call limits for tests without external tools: any call fails the test."""

    async def admit(self, tool: Tool, context: Context, key: str) -> None:
        raise AssertionError(tool.name)


class UnusedStore:
    """An artefact store for tests without fleet changes: any call fails the test."""

    async def model(self, version: str, fleet: Fleet) -> RoutingModel:
        raise AssertionError(version)


class NoNotices:
    """A notice source without active notices."""

    def for_agents(self, *, tenant: str, specialty: str) -> list[NoticePublished]:
        return []

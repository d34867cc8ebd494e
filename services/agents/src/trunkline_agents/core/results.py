"""Results of a turn: each one names the attempt and the fleet version that it was decided by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from trunkline_protocols.accounting import Timings, ToolUse, Usage
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.citations import Retrieved
from trunkline_protocols.completion import Completed
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.escalation import Urgency
from trunkline_protocols.evidence import RoutingEvidence
from trunkline_protocols.fleet import TRIAGE, Agent
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.rules.summary import extract
from trunkline_protocols.turn import (
    Answered,
    AnswerTurn,
    Escalate,
    HandOff,
    MessageAnalysis,
    Routed,
    TurnFailed,
)

from trunkline_agents.core.intents.recognition import Alarm
from trunkline_agents.core.routing.router import RoutingChoice


@dataclass(frozen=True, slots=True)
class HandoffSummary:
    """The summary passed on with a handoff; provider, model, usage and time are empty if it is an extract."""

    text: str
    provider: str = ""
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    model_ms: float = 0.0


@dataclass(slots=True)
class Sources:
    """Inputs of an answer; a model with tools may add passages and consultations while it writes."""

    passages: list[Passage]
    consultations: list[Consultation]
    notices: list[NoticePublished]
    """Notices that the conversation has not received yet."""
    active_notices: list[NoticePublished] = field(default_factory=list)
    """All notices in force for the agent."""


@dataclass(frozen=True, slots=True)
class TransferWork:
    """Work that a transfer concludes: the agent, its model and usage, and their sources; empty if no model decided."""

    agent: str = ""
    provider: str = ""
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    tools: Sequence[ToolUse] = ()
    consultations: Sequence[Consultation] = ()
    passages: Sequence[Passage] = ()


NO_WORK: Final = TransferWork()


@dataclass(frozen=True, slots=True)
class ResultBuilder:
    """Builds the result of one attempt at a turn."""

    request: AnswerTurn
    instance: Instance
    fleet_version: int
    routing: RoutingEvidence | None = None
    """Triage's evidence for asking back."""

    @property
    def specialty(self) -> Specialty:
        """The specialty that is asked."""
        return self.request.specialty

    def answered(
        self, agent: Agent, completion: Completed, sources: Sources, *, timings: Timings, tools: list[ToolUse]
    ) -> Answered:
        """Return the answer for the customer; triage's answers neither take ownership nor count as abstentions."""
        is_owner = self.specialty != TRIAGE
        return Answered(
            ref=self.request.ref,
            specialty=self.specialty,
            agent=agent.name,
            title=agent.title,
            text=completion.text,
            citations=completion.citations,
            retrieved=retrieved(sources.passages),
            owns=is_owner,
            abstained=completion.abstained and is_owner,
            consultations=sources.consultations,
            notices=[notice.notice for notice in sources.notices],
            active_notices=[notice.notice for notice in sources.active_notices],
            routing=self.routing,
            provider=completion.provider,
            model=completion.model,
            usage=completion.usage,
            timings=timings,
            attempts=completion.attempts,
            tools=tools,
            stop_reason=completion.stop_reason,
            instance=self.instance,
            fleet_version=self.fleet_version,
        )

    def said(self, agent: Agent, text: str) -> Answered:
        """Return an authored text as the answer; it neither takes ownership nor counts as an abstention."""
        return Answered(
            ref=self.request.ref,
            specialty=self.specialty,
            agent=agent.name,
            text=text,
            owns=False,
            routing=self.routing,
            instance=self.instance,
            fleet_version=self.fleet_version,
        )

    def replied(self, agent: Agent, text: str) -> Answered:
        """Return an authored reply with the customer's facts as the agent's answer."""
        return msgspec.structs.replace(self.said(agent, text), title=agent.title, owns=self.specialty != TRIAGE)

    def noted(self, agent: Agent) -> Answered:
        """Return that a message of a waiting customer asks nothing that could be answered well."""
        return msgspec.structs.replace(self.said(agent, ""), abstained=True)

    def routed(self, choice: RoutingChoice, timings: Timings, analysis: MessageAnalysis) -> Routed:
        """Return triage's choice of specialty and agent."""
        return Routed(
            ref=self.request.ref,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            confidence=round(choice.confidence, 4),
            timings=timings,
            fleet_version=self.fleet_version,
            analysis=analysis,
            evidence=choice.evidence,
        )

    def hand_off(
        self,
        choice: RoutingChoice,
        summary: HandoffSummary,
        *,
        reason: str,
        timings: Timings,
        analysis: MessageAnalysis,
        work: TransferWork,
    ) -> HandOff:
        """Return a handoff; the default reason names the specialist."""
        return HandOff(
            ref=self.request.ref,
            specialty=self.specialty,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            from_agent=work.agent or self.request.agent,
            confidence=round(choice.confidence, 4),
            reason=reason or f"this is a question for the {choice.agent.title.lower()}",
            summary=summary.text,
            provider=summary.provider,
            model=summary.model,
            usage=total_usage(work.usage, summary.usage),
            timings=timings,
            tools=list(work.tools),
            consultations=list(work.consultations),
            retrieved=retrieved(work.passages),
            instance=self.instance,
            fleet_version=self.fleet_version,
            analysis=analysis,
            evidence=choice.evidence,
        )

    def alarm(self, alarm: Alarm, analysis: MessageAnalysis) -> Escalate:
        """Return the escalation that a message itself demands."""
        escalation = self.escalate(alarm.urgency, alarm.reason)
        return msgspec.structs.replace(
            escalation, level=alarm.level, say=alarm.say, analysis=analysis, scores=list(alarm.scores)
        )

    def escalate(self, urgency: Urgency, reason: str, *, work: TransferWork = NO_WORK) -> Escalate:
        """Return an escalation with an extract of the conversation."""
        return Escalate(
            ref=self.request.ref,
            urgency=urgency,
            reason=reason,
            summary=extract(self.request.text, self.request.context.transcript),
            tools=list(work.tools),
            consultations=list(work.consultations),
            retrieved=retrieved(work.passages),
            fleet_version=self.fleet_version,
            agent=work.agent,
            instance=self.instance,
            provider=work.provider,
            model=work.model,
            usage=work.usage,
        )

    def failed(
        self, reason: str, *, retryable: bool, cancelled: bool = False, tools: Sequence[ToolUse] = ()
    ) -> TurnFailed:
        """Return a failure; `retryable` if another attempt may succeed, `cancelled` if the customer has left."""
        return TurnFailed(
            ref=self.request.ref,
            reason=reason,
            retryable=retryable,
            cancelled=cancelled,
            fleet_version=self.fleet_version,
            tools=list(tools),
        )


def retrieved(passages: Sequence[Passage]) -> list[Retrieved]:
    """Return the references to passages that a record keeps."""
    return [Retrieved(document=each.document, score=each.score, rev=each.rev) for each in passages]


def total_usage(*usages: Usage) -> Usage:
    """Return the sum of usages; estimated if one of them is."""
    return Usage(
        input_tokens=sum(each.input_tokens for each in usages),
        output_tokens=sum(each.output_tokens for each in usages),
        cost=sum(each.cost for each in usages),
        estimated=any(each.estimated for each in usages),
    )

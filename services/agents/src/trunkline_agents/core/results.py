"""Results of a turn: each one names the attempt and the fleet version that it was decided by."""

from __future__ import annotations

from dataclasses import dataclass, field

from trunkline_protocols.accounting import Timings, ToolUse, Usage
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.citations import Retrieved
from trunkline_protocols.completion import Completed
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.escalation import Urgency
from trunkline_protocols.fleet import TRIAGE
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.rules.summary import extract
from trunkline_protocols.turn import Answered, AnswerTurn, Escalate, HandOff, Routed, TurnFailed

from trunkline_agents.core.routing.router import RoutingChoice


@dataclass(frozen=True, slots=True)
class HandoffSummary:
    """The summary passed on with a handoff; model, usage and time are empty if it is an extract."""

    text: str
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    model_ms: float = 0.0


@dataclass(slots=True)
class Sources:
    """Inputs of an answer; a model with tools may add passages and consultations while it writes."""

    passages: list[Passage]
    consultations: list[Consultation]
    notices: list[NoticePublished]


@dataclass(frozen=True, slots=True)
class ResultBuilder:
    """Builds the result of one attempt at a turn."""

    request: AnswerTurn
    specialty: Specialty
    instance: Instance
    fleet_version: int

    def answered(
        self, agent: str, completion: Completed, sources: Sources, *, timings: Timings, tools: list[ToolUse]
    ) -> Answered:
        """Return the answer for the customer; triage's answers neither take ownership nor count as abstentions."""
        is_owner = self.specialty != TRIAGE
        return Answered(
            ref=self.request.ref,
            specialty=self.specialty,
            agent=agent,
            text=completion.text,
            citations=completion.citations,
            retrieved=[Retrieved(document=passage.document, score=passage.score) for passage in sources.passages],
            owns=is_owner,
            abstained=completion.abstained and is_owner,
            consultations=sources.consultations,
            notices=[notice.notice for notice in sources.notices],
            provider=completion.provider,
            model=completion.model,
            usage=completion.usage,
            timings=timings,
            attempts=completion.attempts,
            tools=tools,
            instance=self.instance,
            fleet_version=self.fleet_version,
        )

    def routed(self, choice: RoutingChoice, timings: Timings) -> Routed:
        """Return triage's choice of specialty and agent."""
        return Routed(
            ref=self.request.ref,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            confidence=round(choice.confidence, 4),
            timings=timings,
            fleet_version=self.fleet_version,
        )

    def hand_off(
        self, choice: RoutingChoice, summary: HandoffSummary, *, reason: str, timings: Timings, tools: list[ToolUse]
    ) -> HandOff:
        """Return a handoff; the default reason names the specialist."""
        return HandOff(
            ref=self.request.ref,
            specialty=self.specialty,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            confidence=round(choice.confidence, 4),
            reason=reason or f"this is a question for the {choice.agent.title.lower()}",
            summary=summary.text,
            model=summary.model,
            usage=summary.usage,
            timings=timings,
            tools=tools,
            instance=self.instance,
            fleet_version=self.fleet_version,
        )

    def escalate(self, urgency: Urgency, reason: str, *, tools: list[ToolUse]) -> Escalate:
        """Return an escalation with an extract of the conversation."""
        return Escalate(
            ref=self.request.ref,
            urgency=urgency,
            reason=reason,
            summary=extract(self.request.text, self.request.context.transcript),
            tools=tools,
            fleet_version=self.fleet_version,
        )

    def failed(self, reason: str, *, retryable: bool, cancelled: bool = False) -> TurnFailed:
        """Return a failure; `retryable` if another attempt may succeed, `cancelled` if the customer has left."""
        return TurnFailed(
            ref=self.request.ref,
            reason=reason,
            retryable=retryable,
            cancelled=cancelled,
            fleet_version=self.fleet_version,
        )

"""Completion request of an answer."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_protocols.completion import AdviceNote, Complete, DeltaTarget
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.fleet import Agent, Fleet
from trunkline_protocols.intents import GREETING, VAGUE
from trunkline_protocols.turn import AnswerTurn, MessageAnalysis

from trunkline_agents.core.prompts import instructions
from trunkline_agents.core.results import Sources


def completion_request(
    request: AnswerTurn,
    fleet: Fleet,
    agent: Agent,
    sources: Sources,
    *,
    completion_id: str,
    analysis: MessageAnalysis,
    parts: Sequence[str] = (),
) -> Complete:
    """Build the request for an answer; its deltas carry `completion_id` and go to the customer's ingress.

    `analysis` is that of the message, `parts` are its questions if it asks several.
    """
    context = request.context
    return Complete(
        instructions=instructions(fleet.company, agent),
        text=request.text,
        speaker=f"{agent.title} of {fleet.company.name}",
        transcript=context.transcript,
        summary="\n".join(filter(None, (context.summary, context.note))),
        passages=sources.passages,
        parts=list(parts),
        corrected=analysis.corrected,
        intent=analysis.intent,
        advice=[_advice_note(fleet, advice) for advice in sources.consultations if advice.outcome == "advised"],
        notices=[notice.text for notice in sources.notices],
        abstain=_abstention(request, fleet, analysis.intent),
        stream_to=DeltaTarget(ref=request.ref, ingress=request.ingress, source=completion_id),
        deadline_at=request.deadline_at,
        region=context.region,
        tenant=context.tenant,
    )


def _abstention(request: AnswerTurn, fleet: Fleet, intent: str) -> str:
    """Return the answer for the case that the passages contain none; a customer is greeted once."""
    company = fleet.company
    if intent == GREETING:
        return company.clarify if request.context.transcript else company.greeting
    return company.clarify if intent == VAGUE else company.abstain


def _advice_note(fleet: Fleet, consultation: Consultation) -> AdviceNote:
    """Attribute advice to the title of the specialist's agent."""
    titles = (agent.title for agent in fleet.agents if agent.name == consultation.agent)
    return AdviceNote(
        title=next(titles, consultation.specialty), text=consultation.advice, citations=consultation.citations
    )

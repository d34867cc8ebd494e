"""Completion request of an answer."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_protocols.completion import AdviceNote, Complete, DeltaTarget
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.fleet import Agent, Fleet
from trunkline_protocols.intents import GREETING, VAGUE
from trunkline_protocols.rules.facts import filled_sentences
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
        instructions=instructions(fleet.company, agent, context.locale),
        text=request.text,
        speaker=f"{agent.title} of {fleet.company.name}",
        transcript=context.transcript,
        summary="\n".join(filter(None, (context.summary, context.note))),
        passages=sources.passages,
        parts=list(parts),
        corrected=analysis.corrected,
        intent=analysis.intent,
        facts={fact.name: fact.value for fact in context.facts},
        earlier=context.earlier,
        advice=[_advice_note(fleet, advice) for advice in sources.consultations if advice.outcome == "advised"],
        notices=[notice.text for notice in sources.notices],
        abstain=_abstention(request, fleet, analysis.intent),
        stream_to=DeltaTarget(ref=request.ref, ingress=request.ingress, source=completion_id),
        deadline_at=request.deadline_at,
        region=context.region,
        tenant=context.tenant,
        locale=context.locale,
        route=agent.model.route,
        temperature=agent.model.temperature,
        max_tokens=agent.model.max_tokens,
    )


def _abstention(request: AnswerTurn, fleet: Fleet, intent: str) -> str:
    """Return the answer for the case that the passages contain none; a customer is greeted once."""
    company, context = fleet.company, request.context
    if intent == GREETING and not context.transcript:
        return filled_sentences(company.greeting, context)
    return filled_sentences(company.clarify if intent in {GREETING, VAGUE} else company.abstain, context)


def _advice_note(fleet: Fleet, consultation: Consultation) -> AdviceNote:
    """Attribute advice to the title of the specialist's agent."""
    titles = (agent.title for agent in fleet.agents if agent.name == consultation.agent)
    return AdviceNote(
        title=next(titles, consultation.specialty), text=consultation.advice, citations=consultation.citations
    )

"""Trace steps of the log: each commit, and the events in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace
from trunkline_protocols.accounting import Timings, Usage
from trunkline_protocols.citations import Retrieved
from trunkline_protocols.evidence import RoutingEvidence, Score
from trunkline_protocols.log import (
    Breached,
    Claimed,
    Closed,
    Commit,
    CommitStored,
    Consulted,
    CustomerReplied,
    Escalated,
    Event,
    HandedBack,
    HandedOff,
    LeftQueue,
    NoteAdded,
    OwnerAssigned,
    PersonReplied,
    Started,
    ToolUsed,
    TurnAnswered,
)
from trunkline_protocols.streams import CONVERSATIONS

from trunkline_ingress.core.trace.steps import Detail, TraceStep, fields_of, tag_of

_END_NOTES: Final = {"length": ", cut at the limit of tokens"}
"""Additions to a completion's summary by its stop reason."""
_TOOL_OUTCOMES: Final = {"done": "succeeded", "failed": "failed", "unknown": "outcome unknown"}


def steps_of_commit(stored: CommitStored) -> list[TraceStep]:
    """Return the steps of a commit's events, then the step of the commit itself."""
    commit = stored.commit
    found = [step for event in commit.events for step in _steps_of_event(commit, event)]
    steps = [replace(step, stream=CONVERSATIONS.name, sequence=stored.sequence) for step in found]
    detail: Detail = {
        "sequence": stored.sequence,
        "kind": commit.kind,
        "turn": commit.turn,
        "owner": commit.owner,
        "agent": commit.agent,
        "epoch": commit.epoch,
        "fleet_version": commit.fleet_version,
        "events": [tag_of(event) for event in commit.events],
    }
    steps.append(
        TraceStep(
            at=commit.at,
            from_="conversation",
            to="log",
            subject=f"conv.{commit.region}.*.{commit.conversation}.{commit.kind}",
            type="commit",
            summary=(
                f"Commit {stored.sequence} ({commit.kind}), owner {commit.owner or 'unassigned'}, epoch {commit.epoch}"
            ),
            detail=detail | ({"draw": msgspec.to_builtins(commit.draw)} if commit.draw is not None else {}),
            stream=CONVERSATIONS.name,
            sequence=stored.sequence,
        )
    )
    return steps


def _steps_of_event(commit: Commit, event: Event) -> list[TraceStep]:
    match event:
        case TurnAnswered():
            return _answer_steps(commit, event)
        case OwnerAssigned():
            return [_routing_step(commit, event)]
        case HandedOff():
            return [_handoff_step(commit, event)]
        case Consulted():
            return [_consultation_step(commit, event)]
        case ToolUsed():
            return [_tool_step(commit, event)]
        case Escalated() | Breached() | LeftQueue() | Claimed() | HandedBack() | PersonReplied() | NoteAdded():
            return [_escalation_step(commit, event)]
        case Started():
            return [_start_step(commit, event)]
        case Closed():
            return [_end_step(commit, event)]
        case CustomerReplied():
            return []
        case _:
            assert_never(event)


# -- start and end ---


def _start_step(commit: Commit, event: Started) -> TraceStep:
    known = "verified" if event.verified else "not verified"
    return TraceStep(
        at=commit.at - _total_s(_turn_timings(commit)) - _routing_s(commit),
        from_="customer",
        to="conversation",
        type="started",
        summary=f"Conversation of {event.customer} ({event.tenant}, {known}) by {event.channel}, {event.locale}",
        detail=fields_of(event),
    )


def _end_step(commit: Commit, event: Closed) -> TraceStep:
    return TraceStep(
        at=commit.at,
        from_=f"person {event.person}" if event.person else "conversation",
        to="customer",
        type="closed",
        summary=f"Conversation closed: {event.reason}",
        detail=fields_of(event),
    )


# -- routing, handoff, consultation, tools ---


def _routing_step(commit: Commit, event: OwnerAssigned) -> TraceStep:
    duration_s = _total_s(event.timings)
    return TraceStep(
        at=commit.at - _total_s(_turn_timings(commit)) - duration_s,
        from_="triage",
        to="conversation",
        type="turn.routed",
        ms=_ms(duration_s),
        summary=f"Triage routed the conversation to {event.to} ({event.agent}){_evidence_text(event.evidence)}",
        detail={"to": event.to, "agent": event.agent, "confidence": round(event.confidence, 3)}
        | _evidence(event.evidence),
    )


def _handoff_step(commit: Commit, event: HandedOff) -> TraceStep:
    summary = f"{event.from_} handed off to {event.to}: {event.reason}"
    if event.candidates:
        summary += f" (candidates: {', '.join(event.candidates)})"
    summary += _evidence_text(event.evidence)
    detail: Detail = {
        "reason": event.reason,
        "summary": event.summary,
        "epoch": commit.epoch,
        "agent": event.agent,
        "from_agent": event.from_agent,
        "instance": event.instance,
        "candidates": event.candidates,
        "confidence": round(event.confidence, 3),
        "found": _found(event.retrieved),
    } | _evidence(event.evidence)
    if event.model or event.usage != Usage():
        detail |= {"provider": event.provider, "model": event.model, "model_ms": event.timings.model_ms}
        detail |= {"cost": event.usage.cost, "usage": msgspec.to_builtins(event.usage)}
    return TraceStep(
        at=commit.at,
        from_=event.from_,
        to=event.to,
        type="turn.hand_off",
        ms=_ms(_total_s(event.timings)),
        summary=summary,
        detail=detail,
    )


def _consultation_step(commit: Commit, event: Consulted) -> TraceStep:
    requester = event.requested_by or commit.owner
    reply = f"{event.agent} advised: {event.advice}" if event.outcome == "advised" else f"no advice: {event.reason}"
    return TraceStep(
        at=commit.at - _total_s(_turn_timings(commit)),
        from_=requester,
        to=event.specialty,
        type="consult",
        ms=round(event.took_ms, 3),
        summary=f"{requester} consulted {event.specialty}: {event.question}; {reply}",
        detail={
            "consultation": event.consultation,
            "outcome": event.outcome,
            "question": event.question,
            "advice": event.advice,
            "agent": event.agent,
            "reason": event.reason,
            "citations": [msgspec.to_builtins(citation) for citation in event.citations],
            "found": _found(event.retrieved),
            "provider": event.provider,
            "model": event.model,
            "work_ms": event.work_ms,
            "cost": event.usage.cost,
            "usage": msgspec.to_builtins(event.usage),
        },
    )


def _tool_step(commit: Commit, event: ToolUsed) -> TraceStep:
    use = event.use
    return TraceStep(
        at=commit.at - _turn_timings(commit).completion_ms / 1000,
        from_=event.specialty,
        to=use.tool,
        type="tool",
        ms=round(use.ms, 3),
        summary=f"{event.specialty} called {use.tool} {use.arguments}".rstrip()
        + f": {_TOOL_OUTCOMES[use.outcome]}"
        + (f", {use.result}" if use.result else ""),
        detail=msgspec.to_builtins(use),
    )


# -- escalation and the desk ---


def _escalation_step(
    commit: Commit, event: Escalated | Breached | LeftQueue | Claimed | HandedBack | PersonReplied | NoteAdded
) -> TraceStep:
    match event:
        case Escalated():
            from_, to, type_ = event.from_, "people" if event.level == "person" else "senior agents", "turn.escalate"
            summary = f"{from_} escalated to {to}, urgency {event.urgency}, position {event.position}: {event.reason}"
            summary += _scores_text(event.scores)
        case Breached():
            from_, to, type_ = "clock", "people", "escalation.breached"
            summary = f"SLA breached, unclaimed: urgency raised from {event.from_urgency} to {event.urgency}"
            if event.claimed_by:
                summary = f"SLA breached: claim of {event.claimed_by} revoked, urgency is now {event.urgency}"
        case LeftQueue():
            from_, to, type_ = "customer", "conversation", "queue.left"
            summary = "Customer left the queue"
        case Claimed():
            from_, to, type_ = f"person {event.person}", "customer", "desk.claimed"
            summary = f"{event.person} claimed the conversation"
        case HandedBack():
            from_, to, type_ = f"person {event.person}", event.to or "triage", "desk.handed_back"
            summary = f"{event.person} handed the conversation back to {to}"
        case PersonReplied():
            from_, to, type_ = f"person {event.person}", "customer", "desk.replied"
            summary = f"{event.person} replied: {event.text}"
        case NoteAdded():
            from_, to, type_ = f"person {event.person}", "people", "desk.note_added"
            summary = f"{event.person} added an internal note: {event.text}"
        case _:
            assert_never(event)
    return TraceStep(at=commit.at, from_=from_, to=to, type=type_, summary=summary, detail=fields_of(event))


# -- an answered turn ---


def _answer_steps(commit: Commit, event: TurnAnswered) -> list[TraceStep]:
    timings = event.timings
    started_at = commit.at - _total_s(timings)
    searched_at = started_at + (timings.queued_ms + timings.route_ms) / 1000
    agent = f"{event.specialty}/{event.agent}" if event.agent else event.specialty
    steps = [
        TraceStep(
            at=started_at,
            from_="conversation",
            to=event.specialty,
            type="turn.answer",
            ms=round(timings.queued_ms, 3),
            summary=f"Turn dispatched to {event.specialty}, attempt {event.attempt}",
            detail={"attempt": event.attempt},
        )
    ]
    if event.retrieved:
        steps.append(_search_step(event, agent, searched_at))
    if event.provider:
        steps.append(_completion_step(event, agent, searched_at + timings.search_ms / 1000))
    steps.append(
        TraceStep(
            at=commit.at,
            from_=agent,
            to="customer",
            type="turn.answered",
            ms=_ms(commit.at - event.received_at),
            summary=f"{agent} answered: {event.answer}",
            detail=_answer_detail(event),
        )
    )
    return steps


def _answer_detail(event: TurnAnswered) -> Detail:
    detail: Detail = {
        "text": event.answer,
        "in_reply_to": event.message_id,
        "specialty": event.specialty,
        "agent": event.agent,
        "title": event.title,
        "citations": [msgspec.to_builtins(citation) for citation in event.citations],
        "abstained": event.abstained,
        "cost": event.usage.cost,
        "model_ms": event.timings.model_ms,
        "instance": event.instance,
        "notices": event.notices,
        "active_notices": event.active_notices,
        "fleet_version": event.fleet_version,
    } | _evidence(event.routing)
    return detail | ({"facts": msgspec.to_builtins(event.facts)} if event.facts is not None else {})


def _search_step(event: TurnAnswered, agent: str, at: float) -> TraceStep:
    return TraceStep(
        at=at,
        from_=agent,
        to="rag",
        type="knowledge.search",
        ms=round(event.timings.search_ms, 3),
        summary=f"Search by {agent} returned {len(event.retrieved)} passages",
        detail={"found": _found(event.retrieved)},
    )


def _completion_step(event: TurnAnswered, agent: str, at: float) -> TraceStep:
    return TraceStep(
        at=at,
        from_=agent,
        to="llm_gateway",
        type="llm.complete",
        ms=round(event.timings.completion_ms, 3),
        summary=f"Completion by {event.provider}, model {event.model}{_END_NOTES.get(event.stop_reason, '')}",
        detail={
            "provider": event.provider,
            "model": event.model,
            "first_token_ms": event.timings.first_token_ms,
            "model_ms": event.timings.model_ms,
            "usage": msgspec.to_builtins(event.usage),
            "stop_reason": event.stop_reason,
            "attempts": [msgspec.to_builtins(attempt) for attempt in event.attempts],
        },
    )


# -- times and fields ---


def _turn_timings(commit: Commit) -> Timings:
    for event in commit.events:
        if isinstance(event, TurnAnswered | HandedOff):
            return event.timings
    return Timings()


def _routing_s(commit: Commit) -> float:
    return sum(_total_s(event.timings) for event in commit.events if isinstance(event, OwnerAssigned))


def _total_s(timings: Timings) -> float:
    return (timings.queued_ms + timings.route_ms + timings.search_ms + timings.completion_ms) / 1000


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _found(passages: Iterable[Retrieved]) -> list[object]:
    return [msgspec.to_builtins(passage) for passage in passages]


def _evidence(evidence: RoutingEvidence | None) -> Detail:
    return {} if evidence is None else {"evidence": msgspec.to_builtins(evidence)}


def _evidence_text(evidence: RoutingEvidence | None) -> str:
    return "" if evidence is None else f"; {evidence.reason.replace('_', ' ')}{_scores_text(evidence.scores)}"


def _scores_text(scores: Iterable[Score]) -> str:
    texts = ", ".join(f"{score.name} {score.value:g}" for score in scores)
    return f" ({texts})" if texts else ""

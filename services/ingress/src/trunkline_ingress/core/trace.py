"""A conversation told in order, each step also in words: who sent what to whom, when, how long, at what cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, assert_never

import msgspec
from trunkline_protocols.accounting import Timings
from trunkline_protocols.desk import Claim, Close, HandBack, Reply, SlotMessage
from trunkline_protocols.inbox import EndRequested, FeedbackGiven, TurnReceived, WaitCancelled
from trunkline_protocols.log import (
    Breached,
    Claimed,
    Closed,
    Commit,
    CommitStored,
    Consulted,
    CustomerSaid,
    Escalated,
    Event,
    HandedBack,
    HandedOff,
    LeftQueue,
    OwnerAssigned,
    PersonReplied,
    Started,
    ToolUsed,
    TurnAnswered,
)

Detail: TypeAlias = dict[str, object]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `at` in Unix seconds, `ms` = how long the step took."""

    at: float
    from_: str = msgspec.field(name="from")
    to: str
    subject: str
    type: str
    ms: float
    words: str
    detail: Detail


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """All steps of a conversation."""

    conversation: str
    steps: list[Step]


def tell(conversation: str, inbox: Iterable[tuple[str, int, SlotMessage]], commits: Iterable[CommitStored]) -> Trace:
    """Merge what customer and desk said (subject, sequence, message) with what was committed, in order of time."""
    steps = [_heard(subject, sequence, message) for subject, sequence, message in inbox]
    for stored in commits:
        steps.extend(_committed(stored))
    return Trace(conversation=conversation, steps=sorted(steps, key=lambda step: step.at))


# -- what came in ---


def _heard(subject: str, sequence: int, message: SlotMessage) -> Step:
    detail: Detail = {"inbox_seq": sequence}
    sender = "customer"
    match message:
        case TurnReceived():
            detail |= {"id": message.message_id, "seq": message.seq, "text": message.text, "channel": message.channel}
            words = f"The customer says: {message.text}"
        case FeedbackGiven():
            detail |= {"rating": message.rating, "text": message.text}
            words = f"The customer rates the conversation with {message.rating} of 5"
        case EndRequested():
            words = "The customer ends the conversation"
        case WaitCancelled():
            words = "The customer no longer wants to wait for a person"
        case Claim() | Reply() | HandBack() | Close():
            sender = f"person {message.person}"
            words = _ordered(message)
        case _:
            assert_never(message)
    at = message.at if isinstance(message, Claim | Reply | HandBack | Close) else message.received_at
    return Step(
        at=at, from_=sender, to="conversation", subject=subject, type=_tag(message), ms=0.0, words=words, detail=detail
    )


def _ordered(order: Claim | Reply | HandBack | Close) -> str:
    match order:
        case Claim():
            return f"{order.person} wants to take the conversation"
        case Reply():
            return f"{order.person} writes: {order.text}"
        case HandBack():
            return f"{order.person} hands the conversation back: {order.note or 'without a note'}"
        case Close():
            return f"{order.person} closes the conversation: {order.reason}"


# -- what was committed ---


def _committed(stored: CommitStored) -> list[Step]:
    commit = stored.commit
    steps = [step for event in commit.events for step in _steps_of(commit, event)]
    detail: Detail = {
        "sequence": stored.sequence,
        "kind": commit.kind,
        "turn": commit.turn,
        "owner": commit.owner,
        "agent": commit.agent,
        "epoch": commit.epoch,
        "events": [_tag(event) for event in commit.events],
    }
    owner = f"{commit.owner or 'nobody'} owns the conversation"
    steps.append(
        Step(
            at=commit.at,
            from_="conversation",
            to="log",
            subject=f"conv.{commit.region}.*.{commit.conversation}.{commit.kind}",
            type="commit",
            ms=0.0,
            words=f"Committed as {stored.sequence} ({commit.kind}); {owner}, epoch {commit.epoch}",
            detail=detail,
        )
    )
    return steps


def _steps_of(commit: Commit, event: Event) -> list[Step]:
    match event:
        case TurnAnswered():
            return _answered(commit, event)
        case OwnerAssigned():
            return [_assigned(commit, event)]
        case HandedOff():
            return [_handed_off(commit, event)]
        case Consulted():
            return [_consulted(commit, event)]
        case ToolUsed():
            return [_used(commit, event)]
        case Escalated() | Breached() | LeftQueue() | Claimed() | HandedBack() | PersonReplied():
            return [_with_people(commit, event)]
        case Started() | CustomerSaid() | Closed():
            return []
        case _:
            assert_never(event)


def _assigned(commit: Commit, event: OwnerAssigned) -> Step:
    took_s = _total_s(event.timings)
    return _step(
        commit.at - _total_s(_timings_after(commit)) - took_s,
        "triage",
        "conversation",
        "turn.routed",
        took_s * 1000,
        f"Triage sends the conversation to {event.to} ({event.agent})",
        {"to": event.to, "agent": event.agent, "confidence": round(event.confidence, 3)},
    )


def _handed_off(commit: Commit, event: HandedOff) -> Step:
    words = f"{event.from_} hands over to {event.to}: {event.reason}"
    if event.asked_for:
        words += f" (asked for {', '.join(event.asked_for)}; {event.to} wins)"
    detail: Detail = {"reason": event.reason, "summary": event.summary, "epoch": commit.epoch}
    if event.model:
        detail |= {"model": event.model, "model_ms": event.timings.model_ms, "cost": event.usage.cost}
    return _step(commit.at, event.from_, event.to, "turn.hand_off", _total_s(event.timings) * 1000, words, detail)


def _consulted(commit: Commit, event: Consulted) -> Step:
    asked = f"{event.asked_by or commit.owner} asks {event.specialty} for advice: {event.question}"
    became = f"{event.agent} advises: {event.advice}" if event.outcome == "advised" else f"no advice: {event.reason}"
    detail: Detail = {
        "consultation": event.consultation,
        "outcome": event.outcome,
        "question": event.question,
        "advice": event.advice,
        "work_ms": event.work_ms,
        "cost": event.usage.cost,
    }
    begun = commit.at - _total_s(_timings_after(commit))
    return _step(
        begun, event.asked_by or commit.owner, event.specialty, "consult", event.took_ms, f"{asked}; {became}", detail
    )


def _used(commit: Commit, event: ToolUsed) -> Step:
    use = event.use
    begun = commit.at - _timings_after(commit).completion_ms / 1000
    became = {"done": "done", "failed": "it failed", "unknown": "nobody knows whether it was done"}[use.outcome]
    words = f"{event.specialty} calls {use.tool}: {became}"
    return _step(begun, event.specialty, use.tool, "tool", use.ms, words, msgspec.to_builtins(use))


def _with_people(
    commit: Commit, event: Escalated | Breached | LeftQueue | Claimed | HandedBack | PersonReplied
) -> Step:
    match event:
        case Escalated():
            to = "people" if event.level == "person" else "senior agents"
            words = f"{event.from_} escalates to {to}, urgency {event.urgency}, place {event.position}: {event.reason}"
            return _step(commit.at, event.from_, to, "turn.escalate", 0.0, words, _fields(event))
        case Breached():
            words = f"Nobody came in time: urgency rises from {event.from_urgency} to {event.urgency}"
            if event.claimed_by:
                words = f"{event.claimed_by} stayed silent and loses the conversation; urgency is {event.urgency} now"
            return _step(commit.at, "clock", "people", "escalation.breached", 0.0, words, _fields(event))
        case LeftQueue():
            return _step(commit.at, "customer", "conversation", "queue.left", 0.0, "Left the queue", _fields(event))
        case Claimed():
            words = f"{event.person} has the conversation now"
            return _step(commit.at, f"person {event.person}", "customer", "desk.claimed", 0.0, words, _fields(event))
        case HandedBack():
            words = f"{event.person} has handed back to {event.to or 'triage'}"
            to = event.to or "triage"
            return _step(commit.at, f"person {event.person}", to, "desk.handed_back", 0.0, words, _fields(event))
        case PersonReplied():
            words = f"{event.person} answers the customer: {event.text}"
            return _step(commit.at, f"person {event.person}", "customer", "desk.replied", 0.0, words, _fields(event))
        case _:
            assert_never(event)


def _answered(commit: Commit, event: TurnAnswered) -> list[Step]:
    timings = event.timings
    begun = commit.at - _total_s(timings)
    who = f"{event.specialty}/{event.agent}" if event.agent else event.specialty
    searched = begun + (timings.queued_ms + timings.route_ms) / 1000
    steps = [
        _step(
            begun,
            "conversation",
            event.specialty,
            "turn.answer",
            timings.queued_ms,
            f"{event.specialty} is asked to answer, attempt {event.attempt}",
            {"attempt": event.attempt},
        )
    ]
    if event.retrieved:
        steps.append(
            _step(
                searched,
                who,
                "rag",
                "knowledge.search",
                timings.search_ms,
                f"{who} finds {len(event.retrieved)} passages",
                {"found": [msgspec.to_builtins(passage) for passage in event.retrieved]},
            )
        )
    if event.provider:
        steps.append(
            _step(
                searched + timings.search_ms / 1000,
                who,
                "llm_gateway",
                "llm.complete",
                timings.completion_ms,
                f"{event.provider} writes the answer with {event.model}",
                {
                    "provider": event.provider,
                    "model": event.model,
                    "first_token_ms": timings.first_token_ms,
                    "model_ms": timings.model_ms,
                    "usage": msgspec.to_builtins(event.usage),
                    "tries": [msgspec.to_builtins(one) for one in event.attempts],
                },
            )
        )
    steps.append(
        _step(
            commit.at,
            who,
            "customer",
            "turn.answered",
            round((commit.at - event.received_at) * 1000, 3),
            f"{who} answers: {event.text}",
            {
                "text": event.text,
                "in_reply_to": event.message_id,
                "citations": [citation.document for citation in event.citations],
                "cost": event.usage.cost,
                "model_ms": timings.model_ms,
                "instance": event.instance,
                "notices": event.notices,
                "fleet_version": event.fleet_version,
            },
        )
    )
    return steps


def _step(at: float, from_: str, to: str, type_: str, ms: float, words: str, detail: Detail) -> Step:
    return Step(at=at, from_=from_, to=to, subject="", type=type_, ms=round(ms, 3), words=words, detail=detail)


def _fields(event: msgspec.Struct) -> Detail:
    fields: Detail = msgspec.to_builtins(event)
    fields.pop("event", None)
    return fields


def _timings_after(commit: Commit) -> Timings:
    for event in commit.events:
        if isinstance(event, TurnAnswered | HandedOff):
            return event.timings
    return Timings()


def _total_s(timings: Timings) -> float:
    return (timings.queued_ms + timings.route_ms + timings.search_ms + timings.completion_ms) / 1000


def _tag(message: msgspec.Struct) -> str:
    return str(message.__struct_config__.tag)

"""A conversation told in order: who sent what to whom, when, how long it took, what it cost."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from trunkline_protocols.log import (
    Closed,
    Commit,
    CommitStored,
    Consulted,
    Escalated,
    HandedOff,
    OwnerAssigned,
    Started,
    TurnAnswered,
)
from trunkline_protocols.turn import EndRequested, FeedbackGiven, InboxMessage, Timings, TurnReceived, WaitCancelled


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `at` in Unix seconds, `ms` = how long the step took."""

    at: float
    from_: str = msgspec.field(name="from")
    to: str
    subject: str
    type: str
    ms: float
    detail: dict[str, object]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """All steps of a conversation."""

    conversation: str
    steps: list[Step]


def tell(conversation: str, inbox: Iterable[tuple[str, int, InboxMessage]], commits: Iterable[CommitStored]) -> Trace:
    """Merge what the customer said (subject, sequence, message) with what the fleet committed, in order of time."""
    steps = [_heard(subject, sequence, message) for subject, sequence, message in inbox]
    for stored in commits:
        steps.extend(_committed(stored))
    return Trace(conversation=conversation, steps=sorted(steps, key=lambda step: step.at))


def _heard(subject: str, sequence: int, message: InboxMessage) -> Step:
    detail: dict[str, object] = {"inbox_seq": sequence}
    match message:
        case TurnReceived():
            detail |= {"id": message.message_id, "seq": message.seq, "text": message.text, "channel": message.channel}
        case FeedbackGiven():
            detail |= {"rating": message.rating, "text": message.text}
        case EndRequested() | WaitCancelled():
            pass
    return Step(
        at=message.received_at,
        from_="customer",
        to="conversation",
        subject=subject,
        type=_tag(message),
        ms=0.0,
        detail=detail,
    )


def _committed(stored: CommitStored) -> list[Step]:
    commit = stored.commit
    steps: list[Step] = []
    for event in commit.events:
        match event:
            case OwnerAssigned():
                start = commit.at - _total_s(_timings_after(commit)) - _total_s(event.timings)
                steps.append(
                    _step(
                        start,
                        "triage",
                        "conversation",
                        "turn.routed",
                        _total_s(event.timings) * 1000,
                        {"to": event.to, "agent": event.agent, "confidence": round(event.confidence, 3)},
                    )
                )
            case TurnAnswered():
                steps.extend(_answered(commit, event))
            case HandedOff():
                steps.append(
                    _step(
                        commit.at,
                        event.from_,
                        event.to,
                        "turn.hand_off",
                        _total_s(event.timings) * 1000,
                        {"reason": event.reason, "summary": event.summary, "epoch": commit.epoch},
                    )
                )
            case Escalated():
                steps.append(
                    _step(
                        commit.at,
                        event.from_,
                        "escalation",
                        "turn.escalate",
                        0.0,
                        {"urgency": event.urgency, "reason": event.reason, "epoch": commit.epoch},
                    )
                )
            case Consulted():
                steps.append(
                    _step(commit.at, commit.owner, event.specialty, "consult", 0.0, {"question": event.question})
                )
            case Started() | Closed():
                pass
    subject = f"conv.{commit.region}.*.{commit.conversation}.{commit.kind}"
    detail: dict[str, object] = {
        "sequence": stored.sequence,
        "kind": commit.kind,
        "turn": commit.turn,
        "owner": commit.owner,
        "agent": commit.agent,
        "epoch": commit.epoch,
        "events": [_tag(event) for event in commit.events],
    }
    steps.append(
        Step(at=commit.at, from_="conversation", to="log", subject=subject, type="commit", ms=0.0, detail=detail)
    )
    return steps


def _answered(commit: Commit, event: TurnAnswered) -> list[Step]:
    timings = event.timings
    begun = commit.at - _total_s(timings)
    who = f"{event.specialty}/{event.agent}" if event.agent else event.specialty
    searched = begun + (timings.queued_ms + timings.route_ms) / 1000
    steps = [
        _step(begun, "conversation", event.specialty, "turn.answer", timings.queued_ms, {"attempt": event.attempt})
    ]
    if event.retrieved:
        steps.append(
            _step(
                searched,
                who,
                "rag",
                "knowledge.search",
                timings.search_ms,
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
                {
                    "provider": event.provider,
                    "model": event.model,
                    "first_token_ms": timings.first_token_ms,
                    "model_ms": timings.model_ms,
                    "usage": msgspec.to_builtins(event.usage),
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
            {
                "text": event.text,
                "in_reply_to": event.message_id,
                "citations": [citation.document for citation in event.citations],
                "cost": event.usage.cost,
                "model_ms": timings.model_ms,
                "instance": event.instance,
            },
        )
    )
    return steps


def _step(at: float, from_: str, to: str, type_: str, ms: float, detail: dict[str, object]) -> Step:
    return Step(at=at, from_=from_, to=to, subject="", type=type_, ms=round(ms, 3), detail=detail)


def _timings_after(commit: Commit) -> Timings:
    for event in commit.events:
        if isinstance(event, TurnAnswered | HandedOff):
            return event.timings
    return Timings()


def _total_s(timings: Timings) -> float:
    return (timings.queued_ms + timings.route_ms + timings.search_ms + timings.completion_ms) / 1000


def _tag(message: msgspec.Struct) -> str:
    return str(message.__struct_config__.tag)

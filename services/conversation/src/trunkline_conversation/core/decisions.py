"""What a conversation decides: pure functions from state and message to the next step.

A turn begins with `begin`, which names its first work. Every result of an agent goes through `on_result`:

    Work           an agent of this specialty shall answer
    Append         these events are committed; then the next work, or the turn is over
    Drop           a late or foreign result: counted, nothing happens
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from trunkline_protocols.fleet import ESCALATION, TRIAGE
from trunkline_protocols.ids import Specialty, TurnId
from trunkline_protocols.log import Closed, Escalated, Event, HandedOff, OwnerAssigned, Started, TurnAnswered
from trunkline_protocols.subjects import CommitKind, Lane
from trunkline_protocols.turn import (
    Answered,
    EndRequested,
    Escalate,
    HandOff,
    Routed,
    TurnFailed,
    TurnReceived,
    TurnResult,
    Urgency,
)

from trunkline_conversation.core.state import Conversation

MAX_HOPS: Final = 4
"""Changes of specialty in one turn; one more and the turn is escalated."""

MAX_ATTEMPTS: Final = 4
"""Tries of one piece of work, over agents that fell silent or failed."""

APOLOGY: Final = (
    "I am sorry, something went wrong on our side and I could not answer this message. Please try again in a moment."
)
ALREADY_CLOSED: Final = "This conversation has been closed. Please start a new one, and we will gladly help."

_LANES: Final[dict[Urgency, Lane]] = {"low": "normal", "normal": "normal", "high": "high", "critical": "urgent"}


@dataclass(frozen=True, slots=True)
class Work:
    """What an agent is asked to do: the addressee and the number of this piece of work within the turn."""

    specialty: Specialty
    agent: str = ""
    hop: int = 0
    attempt: int = 1
    lane: Lane = "normal"
    handed_off_from: str = ""


@dataclass(frozen=True, slots=True)
class Append:
    """What is committed; `then` is the work that goes on within the same turn."""

    kind: CommitKind
    events: list[Event]
    owner: str
    agent: str
    epoch: int
    then: Work | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing happens."""

    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn in progress: the message, what has been asked for, and what triage chose."""

    id: TurnId
    inbox_seq: int
    message: TurnReceived
    work: Work
    assigned: OwnerAssigned | None = None


Decision: TypeAlias = Work | Append | Drop


def begin(state: Conversation, message: TurnReceived, *, turn: TurnId, inbox_seq: int) -> Turn:
    """Name the first work of a turn: the owner answers; who has no owner goes to triage."""
    work = Work(specialty=Specialty(state.owner or TRIAGE), agent=state.agent, hop=state.hops)
    return Turn(id=turn, inbox_seq=inbox_seq, message=message, work=work)


def close(state: Conversation, request: EndRequested) -> Append:
    """End a conversation because the customer asked for it."""
    del request
    return Append("closed", [Closed(reason="ended by the customer")], state.owner, state.agent, state.epoch)


def refuse_closed(state: Conversation, turn: Turn) -> Append:
    """Answer a message that came after the end."""
    return _spoken(state, turn, ALREADY_CLOSED)


def retry(turn: Turn) -> Work | None:
    """Name the same work for another agent, or None when it was tried often enough."""
    work = turn.work
    if work.attempt >= MAX_ATTEMPTS:
        return None
    return Work(work.specialty, work.agent, work.hop, work.attempt + 1, work.lane, work.handed_off_from)


def give_up(state: Conversation, turn: Turn) -> Append:
    """Answer honestly that there is no answer: an accepted message never stays without one."""
    return _spoken(state, turn, APOLOGY)


def on_result(state: Conversation, turn: Turn, result: TurnResult, *, specialties: frozenset[str]) -> Decision:
    """Decide what a result of an agent means."""
    if (result.hop, result.attempt) != (turn.work.hop, turn.work.attempt):
        return Drop(f"hop {result.hop} attempt {result.attempt} is not what the turn waits for")
    match result:
        case Answered():
            return _answer(state, turn, result)
        case Routed(to=to) if to in specialties and to != turn.work.specialty:
            return Work(specialty=to, agent=result.agent, hop=turn.work.hop + 1)
        case Routed(to=to):
            return _escalate(state, turn, reason=f"triage chose {to}, and nobody has that specialty", summary="")
        case HandOff():
            return _hand_off(state, turn, result, specialties)
        case Escalate():
            return _escalate(
                state,
                turn,
                reason=result.reason,
                summary=result.summary,
                urgency=result.urgency,
                from_=result.specialty,
            )
        case TurnFailed(retryable=retryable):
            again = retry(turn) if retryable else None
            return again or give_up(state, turn)
        case _:
            assert_never(result)


def assignment(result: Routed) -> OwnerAssigned:
    """Keep triage's choice until the turn's commit."""
    return OwnerAssigned(to=result.to, agent=result.agent, confidence=result.confidence, timings=result.timings)


def _answer(state: Conversation, turn: Turn, result: Answered) -> Append:
    owns = result.owns and result.specialty != TRIAGE
    owner = result.specialty if owns else state.owner
    agent = result.agent if owns else state.agent
    answered = TurnAnswered(
        message_id=turn.message.message_id,
        accepted_seq=turn.message.seq,
        customer_text=turn.message.text,
        received_at=turn.message.received_at,
        text=result.text,
        specialty=result.specialty,
        agent=result.agent,
        citations=result.citations,
        retrieved=result.retrieved,
        provider=result.provider,
        model=result.model,
        usage=result.usage,
        timings=result.timings,
        attempt=result.attempt,
        instance=result.instance,
        tries=result.tries,
    )
    return Append("turn", [*_opening(state, turn), answered], owner, agent, state.epoch)


def _hand_off(state: Conversation, turn: Turn, result: HandOff, specialties: frozenset[str]) -> Append:
    if result.to not in specialties or result.to == turn.work.specialty:
        reason = f"{result.specialty} wanted to hand over to {result.to}, which cannot take it"
        return _escalate(state, turn, reason=reason, summary=result.summary, from_=result.specialty)
    if turn.work.hop >= MAX_HOPS:
        reason = f"handed over {turn.work.hop} times without an answer"
        return _escalate(state, turn, reason=reason, summary=result.summary, from_=result.specialty)
    event = HandedOff(
        from_=result.specialty,
        to=result.to,
        agent=result.agent,
        reason=result.reason,
        summary=result.summary,
        timings=result.timings,
        instance=result.instance,
    )
    then = Work(result.to, result.agent, turn.work.hop + 1, handed_off_from=result.specialty)
    return Append("handoff", [*_opening(state, turn), event], result.to, result.agent, state.epoch + 1, then)


def _escalate(
    state: Conversation, turn: Turn, *, reason: str, summary: str, urgency: Urgency = "normal", from_: str = ""
) -> Append:
    if turn.work.specialty == ESCALATION:
        return give_up(state, turn)
    origin = from_ or turn.work.specialty
    event = Escalated(from_=origin, urgency=urgency, reason=reason, summary=summary)
    then = Work(Specialty(ESCALATION), "", turn.work.hop + 1, lane=_LANES[urgency], handed_off_from=origin)
    return Append("escalation", [*_opening(state, turn), event], ESCALATION, "", state.epoch + 1, then)


def _opening(state: Conversation, turn: Turn) -> list[Event]:
    """Events that precede any other: the conversation's start and triage's choice, where they are not committed yet."""
    events: list[Event] = []
    if not state.started:
        message = turn.message
        events.append(
            Started(customer=message.customer, tenant=message.tenant, channel=message.channel, locale=message.locale)
        )
    if turn.assigned is not None and not state.owner:
        events.append(turn.assigned)
    return events


def _spoken(state: Conversation, turn: Turn, text: str) -> Append:
    """Say something in the name of whoever was asked, without changing the owner."""
    answered = TurnAnswered(
        message_id=turn.message.message_id,
        accepted_seq=turn.message.seq,
        customer_text=turn.message.text,
        received_at=turn.message.received_at,
        text=text,
        specialty=turn.work.specialty,
        agent=turn.work.agent,
        attempt=turn.work.attempt,
    )
    return Append("turn", [*_opening(state, turn), answered], state.owner, state.agent, state.epoch)

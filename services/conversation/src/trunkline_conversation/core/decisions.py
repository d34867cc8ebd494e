"""What a conversation decides: pure functions from state and message to the next step.

A turn begins with `begin`, which names its first work, and `first_step`, which may find that no agent is to be asked at
all. Every result of an agent goes through `on_result`:

    Work           an agent of this specialty shall answer
    Append         these events are committed; then the next step, or the turn is over
    Drop           a late or foreign result: counted, nothing happens
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias, assert_never

from trunkline_protocols.accounting import ToolUse
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.fleet import ESCALATION, TRIAGE
from trunkline_protocols.ids import Specialty, TurnId
from trunkline_protocols.inbox import EndRequested, TurnReceived
from trunkline_protocols.log import Closed, Consulted, CustomerSaid, Event, OwnerAssigned, ToolUsed, TurnAnswered
from trunkline_protocols.turn import Answered, Escalate, HandOff, Routed, TurnFailed, TurnResult

from trunkline_conversation.core.escalations import LANES, assess, escalate, is_news, waiting_note
from trunkline_conversation.core.handoffs import hand_off
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Drop, Environment, Step, SystemReply, Turn, Work, opening

MAX_ATTEMPTS: Final = 4
"""Tries of one piece of work, over agents that fell silent or failed."""

APOLOGY: Final = (
    "I am sorry, something went wrong on our side and I could not answer this message. Please try again in a moment."
)
LEFT: Final = "You have ended the conversation before this message was answered."
ALREADY_CLOSED: Final = "This conversation has been closed. Please start a new one, and we will gladly help."

Decision: TypeAlias = Step | Drop


def begin(
    state: Conversation, message: TurnReceived, *, turn: TurnId, inbox_seq: int, specialties: frozenset[str]
) -> Turn:
    """Name the first work of a turn: the owner answers; who has no owner (any more) goes to triage."""
    owner = Specialty(state.owner if state.owner in specialties else TRIAGE)
    work = Work(specialty=owner, agent=state.agent, hop=state.hops)
    if owner == ESCALATION and state.escalation is not None:
        urgency = state.escalation.urgency
        work = replace(work, lane=LANES[urgency], urgency=urgency, due_at=state.escalation.due_at)
    return Turn(id=turn, inbox_seq=inbox_seq, message=message, work=work)


def first_step(state: Conversation, turn: Turn, environment: Environment) -> Step:
    """Decide whether an agent is asked at all: not when a person has the conversation, or the rules escalate it."""
    if state.closed:
        return system_answer(state, turn, ALREADY_CLOSED)
    if state.with_person:
        return _to_person(state, turn)
    if state.hops > 0:
        # The turn goes on where a process before this one had brought it.
        waits = state.escalation is not None and state.escalation.level == "person"
        return SystemReply(waiting_note(state, environment)) if waits else turn.work
    assessment = assess(state, turn.message, environment.policy)
    if assessment is None:
        return turn.work
    if is_news(state, assessment):
        return escalate(
            state, turn, environment, reason=assessment.reason, urgency=assessment.urgency, level=assessment.level
        )
    if assessment.level == "person":
        return system_answer(state, turn, waiting_note(state, environment))
    return turn.work


def close(state: Conversation, request: EndRequested) -> Append:
    """End a conversation because the customer asked for it."""
    del request
    return Append("closed", [Closed(reason="ended by the customer")], state.owner, state.agent, state.epoch)


def retry(turn: Turn) -> Work | None:
    """Name the same work for another agent, or None when it was tried often enough."""
    if turn.work.attempt >= MAX_ATTEMPTS:
        return None
    return replace(turn.work, attempt=turn.work.attempt + 1)


def give_up(state: Conversation, turn: Turn) -> Append:
    """Answer honestly that there is no answer: an accepted message never stays without one."""
    return system_answer(state, turn, APOLOGY, abstained=True)


def on_unclaimed(state: Conversation, turn: Turn, environment: Environment) -> Step | None:
    """Decide for work that nobody takes; None to go on waiting.

    A specialty that the fleet no longer has: triage finds another. One that is down for good: escalated.
    """
    specialty = turn.work.specialty
    if specialty == TRIAGE:
        return None
    if specialty not in environment.specialties:
        return Work(Specialty(TRIAGE), hop=turn.work.hop + 1)
    if specialty not in environment.down:
        return None
    return escalate(state, turn, environment, reason=f"no process answers for {specialty}")


def on_result(state: Conversation, turn: Turn, result: TurnResult, environment: Environment) -> Decision:
    """Decide what a result of an agent means."""
    asked = (state.epoch, turn.work.hop, turn.work.attempt)
    if (result.ref.epoch, result.ref.hop, result.ref.attempt) != asked:
        return Drop(
            f"epoch {result.ref.epoch} hop {result.ref.hop} attempt {result.ref.attempt} is not what the turn waits for"
        )
    decision = _decide(state, turn, result, environment)
    tools = result.tools if isinstance(result, Answered | HandOff | Escalate) else []
    return _with_tools(decision, turn.work.specialty, tools) if tools and isinstance(decision, Append) else decision


def _decide(state: Conversation, turn: Turn, result: TurnResult, environment: Environment) -> Decision:
    match result:
        case Answered(abstained=True) if _failed_too_often(state, turn, environment):
            return _escalate_failure(state, turn, result, environment)
        case Answered():
            return _answer(state, turn, result)
        case Routed(to=to) if to in environment.specialties and to != turn.work.specialty:
            return Work(specialty=to, agent=result.agent, hop=turn.work.hop + 1)
        case Routed(to=to):
            return escalate(state, turn, environment, reason=f"triage chose {to}, which cannot take it")
        case HandOff():
            return hand_off(state, turn, result, environment)
        case Escalate(urgency=urgency, reason=reason, summary=summary):
            return escalate(state, turn, environment, reason=reason, summary=summary, urgency=urgency)
        case TurnFailed(cancelled=True):
            return system_answer(state, turn, LEFT)
        case TurnFailed(retryable=retryable):
            again = retry(turn) if retryable else None
            return again or give_up(state, turn)
        case _:
            assert_never(result)


def assignment(result: Routed) -> OwnerAssigned:
    """Keep triage's choice until the turn's commit."""
    return OwnerAssigned(to=result.to, agent=result.agent, confidence=result.confidence, timings=result.timings)


def system_answer(state: Conversation, turn: Turn, text: str, *, abstained: bool = False) -> Append:
    """SystemReply something in the name of whoever was asked, without changing the owner."""
    answered = TurnAnswered(
        message_id=turn.message.message_id,
        accepted_seq=turn.message.seq,
        customer_text=turn.message.text,
        received_at=turn.message.received_at,
        text=text,
        specialty=turn.work.specialty,
        agent=turn.work.agent,
        attempt=turn.work.attempt,
        abstained=abstained,
    )
    return Append("turn", [*opening(state, turn), answered], state.owner, state.agent, state.epoch)


def _to_person(state: Conversation, turn: Turn) -> Append:
    """Show a message to the person who has the conversation; the answer is theirs."""
    said = CustomerSaid(
        message_id=turn.message.message_id,
        accepted_seq=turn.message.seq,
        text=turn.message.text,
        received_at=turn.message.received_at,
    )
    return Append("turn", [said], state.owner, state.agent, state.epoch)


def _failed_too_often(state: Conversation, turn: Turn, environment: Environment) -> bool:
    """Whether one more missing answer is one too many. Senior agents who do not know pass it on at once."""
    if state.escalation is not None:
        return state.escalation.level == "senior" and turn.work.specialty == ESCALATION
    return state.failures + 1 >= environment.policy.failed_turns


def _escalate_failure(state: Conversation, turn: Turn, result: Answered, environment: Environment) -> Append:
    who = result.agent or result.specialty
    if state.escalation is not None:
        return escalate(state, turn, environment, reason=f"{who} does not know the answer", level="person")
    return escalate(state, turn, environment, reason=f"{state.failures + 1} answers in a row were missing")


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
        attempt=result.ref.attempt,
        instance=result.instance,
        attempts=result.attempts,
        abstained=result.abstained,
        notices=result.notices,
        fleet_version=result.fleet_version,
    )
    consulted: list[Event] = [_consulted(result.specialty, asked) for asked in result.consultations]
    return Append("turn", [*opening(state, turn), *consulted, answered], owner, agent, state.epoch)


def _with_tools(append: Append, specialty: str, tools: list[ToolUse]) -> Append:
    """Record what was called, before what came of it all."""
    *before, last = append.events
    used: list[Event] = [ToolUsed(specialty=specialty, use=use) for use in tools]
    return replace(append, events=[*before, *used, last])


def _consulted(asked_by: str, asked: Consultation) -> Consulted:
    return Consulted(
        specialty=asked.specialty,
        agent=asked.agent,
        question=asked.question,
        advice=asked.advice,
        usage=asked.usage,
        consultation=asked.consultation,
        asked_by=asked_by,
        outcome=asked.outcome,
        reason=asked.reason,
        citations=asked.citations,
        took_ms=asked.took_ms,
        work_ms=asked.work_ms,
    )

"""Decisions of a conversation: pure functions from state and message to the next step.

A turn starts with `begin`, which selects its first work, and `first_step`, which may answer without an agent. Every
result of an agent goes through `on_result`:

    Work           request an answer from an agent of this specialty
    Append         commit these events; then the next step, or the turn ends
    SystemReply    answer without an agent
    Drop           a late or foreign result: counted and ignored
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final, Literal, TypeAlias, assert_never

import msgspec
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.evidence import Score
from trunkline_protocols.fleet import ESCALATION, TRIAGE
from trunkline_protocols.ids import Specialty, TurnId
from trunkline_protocols.inbox import EndRequested, TurnReceived
from trunkline_protocols.log import (
    Closed,
    Consulted,
    CustomerReplied,
    Event,
    FactsUsed,
    OwnerAssigned,
    ToolUsed,
    TurnAnswered,
)
from trunkline_protocols.rules.escalation import higher
from trunkline_protocols.rules.facts import current_facts, facts_used
from trunkline_protocols.turn import Answered, Escalate, HandOff, Routed, TurnFailed, TurnResult

from trunkline_conversation.core.escalations import (
    LANES,
    EscalationAssessment,
    EscalationOrigin,
    assess,
    escalate,
    exceeds_current,
    first_said,
    noted,
    waiting_note,
)
from trunkline_conversation.core.handoffs import hand_off
from trunkline_conversation.core.state import Conversation, context_of
from trunkline_conversation.core.steps import Append, Drop, Environment, Step, SystemReply, Turn, Work, opening

MAX_ATTEMPTS: Final = 4
"""Maximum attempts for the same work, over lost and failed agents."""

APOLOGY: Final = (
    "I am sorry, something went wrong on our side and I could not answer this message. Please try again in a moment."
)
LEFT: Final = "You have ended the conversation before this message was answered."
_PERSON_REQUESTED: Final = "the customer asks for a person"
ALREADY_CLOSED: Final = "This conversation has been closed. Please start a new one, and we will gladly help."

Decision: TypeAlias = Step | Drop


def begin(
    state: Conversation, message: TurnReceived, *, turn: TurnId, inbox_seq: int, specialties: frozenset[str]
) -> Turn:
    """Start a turn: the owner answers, triage if there is no owner or the fleet no longer has its specialty."""
    owner = Specialty(state.owner if state.owner in specialties else TRIAGE)
    work = Work(specialty=owner, agent=state.agent, hop=state.hops, is_waiting=_is_waiting(state))
    if owner == ESCALATION and state.escalation is not None:
        urgency = state.escalation.urgency
        work = replace(work, lane=LANES[urgency], urgency=urgency, due_at=state.escalation.due_at)
    return Turn(id=turn, inbox_seq=inbox_seq, message=message, work=work)


def first_step(state: Conversation, turn: Turn, environment: Environment) -> Step:
    """Decide the first step: no agent is asked if a person holds the conversation or a rule escalates it."""
    if state.closed:
        return system_answer(state, turn, ALREADY_CLOSED)
    if state.with_person:
        return _to_person(state, turn)
    if state.hops > 0:
        # Another process has committed a part of this turn: resume after it.
        say = state.escalation.say if state.escalation is not None else ""
        if _is_waiting(state):
            return SystemReply(first_said(say, waiting_note(state, environment)))
        return replace(turn.work, say=say)
    assessment = _assess(state, turn, environment)
    if assessment is None:
        return turn.work
    if exceeds_current(state, assessment):
        return escalate(
            state,
            turn,
            environment,
            reason=assessment.reason,
            urgency=assessment.urgency,
            level=assessment.level,
            say=assessment.say,
            origin=EscalationOrigin(scores=list(assessment.scores)),
        )
    if assessment.level == "person":
        return system_answer(state, turn, first_said(assessment.say, waiting_note(state, environment)))
    return turn.work


def _assess(state: Conversation, turn: Turn, environment: Environment) -> EscalationAssessment | None:
    """Apply the fleet's rules; a request for a person needs none of them, but they may raise its urgency."""
    message, policy = turn.message, environment.policy
    found = assess(state, message, policy, partial(context_of, state, message, turn.customer, environment.fleet))
    if not message.wants_person or (found is not None and found.level == "person"):
        return found
    urgency = higher("normal", policy.tiers.get(message.tier, "low"))
    if found is None:
        return EscalationAssessment("person", urgency, _PERSON_REQUESTED)
    reason = f"{_PERSON_REQUESTED}; {found.reason}"
    return replace(found, level="person", urgency=higher(urgency, found.urgency), reason=reason)


def close(state: Conversation, request: EndRequested) -> Append:
    """Close a conversation on the customer's request."""
    del request
    return Append("closed", [Closed(reason="ended by the customer")], state.owner, state.agent, state.epoch)


def retry(turn: Turn) -> Work | None:
    """Return the same work with the next attempt, None if the attempts are used up."""
    if turn.work.attempt >= MAX_ATTEMPTS:
        return None
    return replace(turn.work, attempt=turn.work.attempt + 1, is_claimed=False)


def give_up(state: Conversation, turn: Turn) -> Append:
    """Apologise to the customer: an accepted message always gets a reply."""
    return system_answer(state, turn, APOLOGY, abstained=True)


def outcome(answered: TurnAnswered) -> Literal["answered", "empty", "failed"]:
    """Return how a turn ended, for its metric; it failed if the customer received an apology instead of an answer."""
    if answered.answer == APOLOGY:
        return "failed"
    return "answered" if answered.answer else "empty"


def on_unclaimed(state: Conversation, turn: Turn, environment: Environment) -> Step | None:
    """Decide about work that no agent has claimed in time; None to keep waiting.

    If the fleet no longer has the specialty, triage selects another one. If the specialty is down, escalate.
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
    """Decide the next step for a result of an agent."""
    expected = (state.epoch, turn.work.hop, turn.work.attempt)
    if (result.ref.epoch, result.ref.hop, result.ref.attempt) != expected:
        return Drop(f"stale result: epoch {result.ref.epoch}, hop {result.ref.hop}, attempt {result.ref.attempt}")
    decision = _decide(state, turn, result, environment)
    return _with_work(decision, result, turn.work.specialty) if isinstance(decision, Append) else decision


def _decide(state: Conversation, turn: Turn, result: TurnResult, environment: Environment) -> Decision:
    match result:
        case Answered(abstained=True) if turn.work.is_waiting:
            return _withheld(system_answer(state, turn, noted(state, environment)), result)
        case Answered(abstained=True) if _failed_too_often(state, turn, environment):
            return _escalate_failure(state, turn, result, environment)
        case Answered():
            return _answer(state, turn, result, environment)
        case Routed(to=to) if to in environment.specialties and to != turn.work.specialty:
            return Work(specialty=to, agent=result.agent, hop=turn.work.hop + 1, is_claimed=result.continued)
        case Routed(to=to):
            return escalate(state, turn, environment, reason=f"triage chose {to}, which is not available")
        case HandOff():
            return hand_off(state, turn, result, environment)
        case Escalate():
            return _escalate(state, turn, result, environment)
        case TurnFailed(cancelled=True):
            return system_answer(state, turn, LEFT)
        case TurnFailed(retryable=retryable):
            next_attempt = retry(turn) if retryable else None
            return next_attempt or give_up(state, turn)
        case _:
            assert_never(result)


def _escalate(state: Conversation, turn: Turn, result: Escalate, environment: Environment) -> Append:
    """Escalate as an agent requests; a customer who waits for a person already is told so."""
    assessment = EscalationAssessment(result.level, result.urgency, result.reason)
    if turn.work.is_waiting and not exceeds_current(state, assessment):
        return system_answer(state, turn, first_said(result.say, waiting_note(state, environment)))
    return escalate(
        state,
        turn,
        environment,
        reason=result.reason,
        urgency=result.urgency,
        level=result.level,
        say=result.say,
        origin=EscalationOrigin(
            summary=result.summary,
            agent=result.agent,
            instance=result.instance,
            scores=result.scores,
            provider=result.provider,
            model=result.model,
            usage=result.usage,
            retrieved=result.retrieved,
        ),
    )


def _is_waiting(state: Conversation) -> bool:
    """Return whether the conversation waits for a person who has not claimed it yet."""
    return state.escalation is not None and state.escalation.level == "person" and not state.escalation.claimed_by


def assignment(result: Routed) -> OwnerAssigned:
    """Convert the choice of triage to an event, committed together with the answer."""
    return OwnerAssigned(
        to=result.to,
        agent=result.agent,
        confidence=result.confidence,
        timings=result.timings,
        evidence=result.evidence,
    )


def system_answer(state: Conversation, turn: Turn, text: str, *, abstained: bool = False) -> Append:
    """Answer with a text of the system, attributed to the current agent, without changing the owner."""
    answered = TurnAnswered(
        message_id=turn.message.message_id,
        accepted_seq=turn.message.seq,
        text=turn.message.text,
        received_at=turn.message.received_at,
        answer=text,
        specialty=turn.work.specialty,
        agent=turn.work.agent,
        attempt=turn.work.attempt,
        abstained=abstained,
    )
    return Append("turn", [*opening(state, turn), answered], state.owner, state.agent, state.epoch)


def _to_person(state: Conversation, turn: Turn) -> Append:
    """Commit a message for the person that holds the conversation; no agent answers it."""
    shown = CustomerReplied(
        message_id=turn.message.message_id,
        accepted_seq=turn.message.seq,
        text=turn.message.text,
        received_at=turn.message.received_at,
    )
    return Append("turn", [shown], state.owner, state.agent, state.epoch)


def _failed_too_often(state: Conversation, turn: Turn, environment: Environment) -> bool:
    """Return whether one more abstention reaches the limit; for senior agents the first one does."""
    if state.escalation is not None:
        return state.escalation.level == "senior" and turn.work.specialty == ESCALATION
    return state.failures + 1 >= environment.policy.failed_turns


def _escalate_failure(state: Conversation, turn: Turn, result: Answered, environment: Environment) -> Append:
    agent = result.agent or result.specialty
    origin = EscalationOrigin(
        agent=result.agent,
        instance=result.instance,
        provider=result.provider,
        model=result.model,
        usage=result.usage,
        retrieved=result.retrieved,
    )
    if state.escalation is not None:
        reason = f"{agent} does not know the answer"
        return escalate(state, turn, environment, reason=reason, level="person", origin=origin)
    failures = state.failures + 1
    reason = f"{failures} consecutive questions without an answer"
    origin = replace(origin, scores=[Score(name="unanswered questions", value=failures)])
    return escalate(state, turn, environment, reason=reason, origin=origin)


def _facts_used(state: Conversation, turn: Turn, environment: Environment) -> FactsUsed | None:
    """Return the record of the facts that the agent had."""
    return facts_used(state.id, current_facts(environment.fleet, turn.customer), environment.now)


def _answer(state: Conversation, turn: Turn, result: Answered, environment: Environment) -> Append:
    owns = result.owns and result.specialty != TRIAGE
    owner = result.specialty if owns else state.owner
    agent = result.agent if owns else state.agent
    answered = TurnAnswered(
        message_id=turn.message.message_id,
        accepted_seq=turn.message.seq,
        text=turn.message.text,
        received_at=turn.message.received_at,
        answer=first_said(turn.work.say, result.text),
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
        title=result.title,
        stop_reason=result.stop_reason,
        facts=_facts_used(state, turn, environment),
        active_notices=result.active_notices,
        routing=result.routing,
    )
    return Append("turn", [*opening(state, turn), answered], owner, agent, state.epoch)


def _with_work(append: Append, result: TurnResult, specialty: str) -> Append:
    """Insert consultations and tool calls before the final event, whatever was decided about the result."""
    consultations = result.consultations if isinstance(result, Answered | HandOff | Escalate) else []
    tools = [] if isinstance(result, Routed) else result.tools
    if not consultations and not tools:
        return append
    *before, last = append.events
    consulted: list[Event] = [_consulted(specialty, consultation) for consultation in consultations]
    used: list[Event] = [ToolUsed(specialty=specialty, use=use) for use in tools]
    return replace(append, events=[*before, *consulted, *used, last])


def _withheld(append: Append, result: Answered) -> Append:
    """Record the work for an answer that the customer did not get in the one of the system."""
    *before, last = append.events
    if not isinstance(last, TurnAnswered):
        return append
    recorded = msgspec.structs.replace(
        last,
        retrieved=result.retrieved,
        provider=result.provider,
        model=result.model,
        usage=result.usage,
        attempts=result.attempts,
        stop_reason=result.stop_reason,
        instance=result.instance,
        active_notices=result.active_notices,
    )
    return replace(append, events=[*before, recorded])


def _consulted(requested_by: str, consultation: Consultation) -> Consulted:
    return Consulted(
        specialty=consultation.specialty,
        agent=consultation.agent,
        question=consultation.question,
        advice=consultation.advice,
        usage=consultation.usage,
        consultation=consultation.consultation,
        requested_by=requested_by,
        outcome=consultation.outcome,
        reason=consultation.reason,
        citations=consultation.citations,
        took_ms=consultation.took_ms,
        work_ms=consultation.work_ms,
        provider=consultation.provider,
        model=consultation.model,
        retrieved=consultation.retrieved,
    )

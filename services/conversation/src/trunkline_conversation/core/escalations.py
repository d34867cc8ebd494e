"""Escalation to senior agents or people: rules, urgency, queue position and SLA breaches."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Final

from msgspec.structs import replace
from trunkline_protocols.accounting import Usage
from trunkline_protocols.citations import Retrieved
from trunkline_protocols.context import Context
from trunkline_protocols.escalation import Escalation, Level, Urgency
from trunkline_protocols.evidence import Score
from trunkline_protocols.fleet import ESCALATION, EscalationPolicy
from trunkline_protocols.ids import Specialty
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Breached, Escalated, LeftQueue
from trunkline_protocols.rules.desk_hours import is_open, next_opening, opening_text
from trunkline_protocols.rules.escalation import higher, queue_position, raised
from trunkline_protocols.rules.facts import matches
from trunkline_protocols.rules.summary import extract
from trunkline_protocols.subjects import Lane

from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Environment, SystemReply, Turn, Work, opening

LANES: Final[dict[Urgency, Lane]] = {"low": "normal", "normal": "normal", "high": "high", "critical": "urgent"}
_FRUSTRATION_MESSAGES: Final = 3
_MINUTES_PER_HOUR: Final = 60
_APOSTROPHE: Final = str.maketrans("\N{RIGHT SINGLE QUOTATION MARK}", "'")
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclass(frozen=True, slots=True)
class EscalationAssessment:
    """Level, urgency and reason with which a message is to be escalated."""

    level: Level
    urgency: Urgency
    reason: str
    say: str = ""
    scores: tuple[Score, ...] = ()
    """Evidence that is more than a phrase."""


@dataclass(frozen=True, slots=True)
class EscalationOrigin:
    """Origin of an escalation, for its record; empty for a rule of the conversation."""

    summary: str = ""
    """The agent's summary of the conversation; default: an extract."""
    agent: str = ""
    instance: str = ""
    scores: list[Score] = field(default_factory=list)
    provider: str = ""
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    retrieved: list[Retrieved] = field(default_factory=list)


_NO_ORIGIN: Final = EscalationOrigin()


def assess(
    state: Conversation, message: TurnReceived, policy: EscalationPolicy, context: Callable[[], Context]
) -> EscalationAssessment | None:
    """Apply the fleet's rules to a message and combine the matches: the highest urgency and level count.

    `context` builds that of the customer, for the rules that are for some customers only.
    """
    text = _normalised(message.text)
    found = [
        EscalationAssessment(rule.to, rule.urgency, f"rule {rule.name}", rule.say)
        for rule in policy.rules
        if _contains_any(text, rule.phrases) and (not rule.when or matches(rule.when, context()))
    ]
    if _contains_any(text, policy.person_phrases):
        found.append(EscalationAssessment("person", "normal", "the customer asks for a person"))
    frustration = _frustration(state, text, policy)
    if frustration >= policy.frustration_limit:
        scores = (Score(name="words of frustration", value=frustration),)
        found.append(EscalationAssessment("senior", "high", "the customer is upset", scores=scores))
    if not found:
        return None
    urgency = policy.tiers.get(message.tier, "low")
    for assessment in found:
        urgency = higher(urgency, assessment.urgency)
    level: Level = "person" if any(assessment.level == "person" for assessment in found) else "senior"
    reason = "; ".join(assessment.reason for assessment in found)
    say = "\n\n".join(assessment.say for assessment in found if assessment.say)
    return EscalationAssessment(level, urgency, reason, say, tuple(chain.from_iterable(each.scores for each in found)))


def exceeds_current(state: Conversation, assessment: EscalationAssessment) -> bool:
    """Return whether an assessment exceeds the level or urgency of the current escalation."""
    current = state.escalation
    if current is None:
        return True
    if current.level == "senior" and assessment.level == "person":
        return True
    return higher(current.urgency, assessment.urgency) != current.urgency


def escalate(
    state: Conversation,
    turn: Turn,
    environment: Environment,
    *,
    reason: str,
    urgency: Urgency = "normal",
    level: Level = "senior",
    say: str = "",
    origin: EscalationOrigin = _NO_ORIGIN,
) -> Append:
    """Escalate: senior agents answer the turn, or the customer gets the position in the queue for a person.

    The level is `person` if the case is critical, if senior agents escalate themselves, or if the fleet has none or
    none of them is up. The customer reads `say` first.
    """
    say = say or turn.work.say
    if turn.work.specialty == ESCALATION or ESCALATION not in environment.specialties or ESCALATION in environment.down:
        level = "person"
    current = state.escalation
    if current is not None:
        urgency = higher(urgency, current.urgency)
        level = "person" if current.level == "person" else level
    if urgency == "critical":
        level = "person"
    since = current.since if current is not None and current.level == level else environment.now
    escalation = Escalation(
        level=level,
        urgency=urgency,
        reason=reason,
        summary=origin.summary or extract(turn.message.text, state.transcript),
        since=since,
        due_at=environment.now + environment.policy.sla_s.of(urgency),
        say=say,
    )
    position = 1 if level == "senior" else _position(state, escalation, environment)
    event = _escalated(escalation, origin, from_=turn.work.specialty, position=position)
    then = _next_step(turn, event, environment)
    return Append("escalation", [*opening(state, turn), event], ESCALATION, "", state.epoch + 1, then)


def _escalated(escalation: Escalation, origin: EscalationOrigin, *, from_: str, position: int) -> Escalated:
    """Return the event of an escalation at a position of its queue."""
    return Escalated(
        from_=from_,
        urgency=escalation.urgency,
        reason=escalation.reason,
        summary=escalation.summary,
        position=position,
        level=escalation.level,
        since=escalation.since,
        due_at=escalation.due_at,
        say=escalation.say,
        agent=origin.agent,
        instance=origin.instance,
        scores=origin.scores,
        provider=origin.provider,
        model=origin.model,
        usage=origin.usage,
        retrieved=origin.retrieved,
    )


def _next_step(turn: Turn, event: Escalated, environment: Environment) -> Work | SystemReply:
    """Return the work for senior agents, or the reply to a customer that waits for a person."""
    if event.level == "person":
        return SystemReply(first_said(event.say, _waiting_text(event.position, event.urgency, environment)))
    urgency = event.urgency
    return Work(
        Specialty(ESCALATION),
        hop=turn.work.hop + 1,
        lane=LANES[urgency],
        urgency=urgency,
        due_at=event.due_at,
        say=event.say,
    )


def breach(state: Conversation, environment: Environment) -> Append | None:
    """Raise the urgency of an escalation after its SLA has expired; None if there is nothing to raise."""
    current = state.escalation
    if current is None or current.level != "person" or environment.now < current.due_at:
        return None
    urgency = raised(current.urgency)
    due_at = environment.now + environment.policy.sla_s.of(urgency)
    event = Breached(
        from_urgency=current.urgency,
        urgency=urgency,
        due_at=due_at,
        position=_position(state, replace(current, urgency=urgency, due_at=due_at, claimed_by=""), environment),
        claimed_by=current.claimed_by,
    )
    return Append("escalation", [event], state.owner, state.agent, state.epoch)


def leave_queue(state: Conversation) -> Append | None:
    """Leave the queue on the customer's request; None if the conversation is not waiting in it."""
    current = state.escalation
    if current is None or current.claimed_by:
        return None
    to = current.from_ if current.from_ != ESCALATION else ""
    return Append("escalation", [LeftQueue(to=to)], to, "", state.epoch + 1)


def waiting_note(state: Conversation, environment: Environment) -> str:
    """Return the text for a customer that waits for a person."""
    current = state.escalation
    if current is None:
        return _waiting_text(1, "normal", environment)
    return _waiting_text(_position(state, current, environment), current.urgency, environment)


def noted(state: Conversation, environment: Environment) -> str:
    """Return the reply to a message of a waiting customer that asks nothing that could be answered."""
    current = state.escalation
    if current is None:
        return environment.policy.noted_note.replace("{position}", "1")
    text = environment.policy.noted_note.replace("{position}", str(_position(state, current, environment)))
    # In an emergency the instruction is repeated: the question may have been about it.
    return first_said(current.say, text) if current.urgency == "critical" else text


def first_said(say: str, text: str) -> str:
    """Put an instruction before a text."""
    return f"{say}\n\n{text}" if say else text


def _waiting_text(position: int, urgency: Urgency, environment: Environment) -> str:
    """Return the text for a customer at a position of the queue; outside the desk's hours, when it opens."""
    policy, now = environment.policy, environment.now
    if not is_open(policy.hours, now):
        opens = opening_text(next_opening(policy.hours, now), now)
        note = policy.closed_emergency_note if urgency == "critical" else policy.closed_note
        return note.replace("{position}", str(position)).replace("{opens}", opens)
    return policy.waiting_note.replace("{position}", str(position)).replace("{wait}", _wait(policy.sla_s.of(urgency)))


def _wait(seconds: float) -> str:
    """Return a time in minutes or hours, rounded up."""
    minutes = max(1, math.ceil(seconds / 60))
    if minutes >= _MINUTES_PER_HOUR:
        hours = math.ceil(minutes / _MINUTES_PER_HOUR)
        return f"{hours} hour{'s' if hours > 1 else ''}"
    return f"{minutes} minute{'s' if minutes > 1 else ''}"


def _position(state: Conversation, escalation: Escalation, environment: Environment) -> int:
    """Return the position in the queue, in the order in which the desk serves it."""
    return queue_position(environment.waiting, state.id, escalation, environment.now)


def _frustration(state: Conversation, text: str, policy: EscalationPolicy) -> int:
    """Count the words of frustration in the customer's latest messages and in the normalised `text` of this one."""
    earlier = [each.text for each in state.transcript if each.role == "customer"][1 - _FRUSTRATION_MESSAGES :]
    words = [_phrase(word) for word in policy.frustration_words]
    return sum(each.count(word) for each in (*map(_normalised, earlier), text) for word in words)


def _contains_any(text: str, phrases: list[str]) -> bool:
    return any(_phrase(phrase) in text for phrase in phrases)


@lru_cache(maxsize=1_024)
def _phrase(text: str) -> str:
    """Normalise a phrase of the fleet's rules; cached because every message needs the same ones."""
    return _normalised(text)


def _normalised(text: str) -> str:
    """Return the words in lower case, surrounded by spaces, so that phrases match whole words only."""
    return f" {' '.join(_WORD.findall(text.lower().translate(_APOSTROPHE)))} "

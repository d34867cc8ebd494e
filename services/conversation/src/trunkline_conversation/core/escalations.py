"""Escalation: when a conversation goes to senior agents or to people, with what urgency, and what a breach means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from msgspec.structs import replace
from trunkline_protocols.context import Urgency
from trunkline_protocols.escalation import Escalation, Level
from trunkline_protocols.fleet import ESCALATION, EscalationPolicy
from trunkline_protocols.ids import Specialty
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Breached, Escalated, LeftQueue
from trunkline_protocols.rules.escalation import higher, queue_position, raised
from trunkline_protocols.rules.summary import extract
from trunkline_protocols.subjects import Lane

from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Environment, SystemReply, Turn, Work, opening

LANES: Final[dict[Urgency, Lane]] = {"low": "normal", "normal": "normal", "high": "high", "critical": "urgent"}
_FRUSTRATION_MESSAGES: Final = 3
_APOSTROPHE: Final = str.maketrans("\N{RIGHT SINGLE QUOTATION MARK}", "'")
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclass(frozen=True, slots=True)
class EscalationSigns:
    """Why a message is to be escalated, how urgently, and to whom."""

    level: Level
    urgency: Urgency
    reason: str


def assess(state: Conversation, message: TurnReceived, policy: EscalationPolicy) -> EscalationSigns | None:
    """Apply the fleet's rules to what the customer says now; the most urgent that holds counts."""
    said = _normal(message.text)
    found = [
        EscalationSigns(rule.to, rule.urgency, f"rule {rule.name}")
        for rule in policy.rules
        if _says_any(said, rule.phrases)
    ]
    if _says_any(said, policy.person_phrases):
        found.append(EscalationSigns("person", "normal", "the customer asks for a person"))
    if _frustration(state, said, policy) >= policy.frustration_limit:
        found.append(EscalationSigns("senior", "high", "the customer is upset"))
    if not found:
        return None
    urgency = policy.tiers.get(message.tier, "low")
    for assessment in found:
        urgency = higher(urgency, assessment.urgency)
    level: Level = "person" if any(assessment.level == "person" for assessment in found) else "senior"
    return EscalationSigns(level, urgency, "; ".join(assessment.reason for assessment in found))


def is_news(state: Conversation, assessment: EscalationSigns) -> bool:
    """Whether an assessment goes beyond the escalation that is under way already."""
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
    summary: str = "",
    urgency: Urgency = "normal",
    level: Level = "senior",
) -> Append:
    """Commit an escalation; senior agents answer the turn, for a person the customer is told the place in the queue.

    From senior agents, and where the fleet has none or none of them is up, there is only one way: to people.
    """
    if turn.work.specialty == ESCALATION or ESCALATION not in environment.specialties or ESCALATION in environment.down:
        level = "person"
    current = state.escalation
    if current is not None:
        urgency = higher(urgency, current.urgency)
        level = "person" if current.level == "person" else level
    origin = turn.work.specialty
    since = current.since if current is not None and current.level == level else environment.now
    begun = Escalation(
        level=level,
        urgency=urgency,
        reason=reason,
        summary=summary or extract(turn.message.text, state.transcript),
        since=since,
        due_at=environment.now + environment.policy.sla_s.of(urgency),
    )
    event = Escalated(
        from_=origin,
        urgency=urgency,
        reason=reason,
        summary=begun.summary,
        position=1 if level == "senior" else _place(state, begun, environment),
        level=level,
        since=since,
        due_at=begun.due_at,
    )
    then: Work | SystemReply
    if level == "person":
        then = SystemReply(_note(event.position, environment))
    else:
        then = Work(
            Specialty(ESCALATION),
            "",
            turn.work.hop + 1,
            lane=LANES[urgency],
            handed_off_from=origin,
            urgency=urgency,
            due_at=event.due_at,
        )
    return Append("escalation", [*opening(state, turn), event], ESCALATION, "", state.epoch + 1, then)


def breach(state: Conversation, environment: Environment) -> Append | None:
    """Raise the urgency of an escalation whose SLA has run out; None when there is nothing to raise (any more)."""
    current = state.escalation
    if current is None or current.level != "person" or environment.now < current.due_at:
        return None
    urgency = raised(current.urgency)
    due_at = environment.now + environment.policy.sla_s.of(urgency)
    event = Breached(
        from_urgency=current.urgency,
        urgency=urgency,
        due_at=due_at,
        position=_place(state, replace(current, urgency=urgency, due_at=due_at, claimed_by=""), environment),
        claimed_by=current.claimed_by,
    )
    return Append("escalation", [event], state.owner, state.agent, state.epoch)


def leave_queue(state: Conversation) -> Append | None:
    """Stop waiting for a person because the customer asked for it; None when nobody waits (any more)."""
    current = state.escalation
    if current is None or current.claimed_by:
        return None
    to = current.from_ if current.from_ != ESCALATION else ""
    return Append("escalation", [LeftQueue(to=to)], to, "", state.epoch + 1)


def waiting_note(state: Conversation, environment: Environment) -> str:
    """What a customer is told who waits for a person."""
    return _note(_place(state, state.escalation, environment) if state.escalation is not None else 1, environment)


def _note(position: int, environment: Environment) -> str:
    return environment.policy.waiting_note.replace("{position}", str(position))


def _place(state: Conversation, escalation: Escalation, environment: Environment) -> int:
    """Place in the queue; by pressure, as the desk empties it, and not by who came last."""
    return queue_position(environment.waiting, state.id, escalation, environment.now)


def _frustration(state: Conversation, said: str, policy: EscalationPolicy) -> int:
    """Count the words of frustration in the customer's last messages and in what is `said` now."""
    earlier = [each.text for each in state.transcript if each.role == "customer"][1 - _FRUSTRATION_MESSAGES :]
    words = [_phrase(word) for word in policy.frustration_words]
    return sum(each.count(word) for each in (*map(_normal, earlier), said) for word in words)


def _says_any(said: str, phrases: list[str]) -> bool:
    return any(_phrase(phrase) in said for phrase in phrases)


@lru_cache(maxsize=1_024)
def _phrase(text: str) -> str:
    """Bring a phrase of the fleet's rules into the form that is looked for: with every message the same ones."""
    return _normal(text)


def _normal(text: str) -> str:
    """Words in lower case, each between spaces: phrases are found whole, whatever the punctuation."""
    return f" {' '.join(_WORD.findall(text.lower().translate(_APOSTROPHE)))} "

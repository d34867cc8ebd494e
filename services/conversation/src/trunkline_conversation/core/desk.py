"""What people at the desk order, and what it means for a conversation: only who has claimed it speaks in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from trunkline_protocols.desk import Claim, Close, DeskMessage, HandBack, Reply
from trunkline_protocols.fleet import ESCALATION
from trunkline_protocols.log import Claimed, Closed, HandedBack, PersonReplied

from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Environment


@dataclass(frozen=True, slots=True)
class Rejected:
    """The order is not carried out; `reason` is told to the person."""

    reason: str


@dataclass(frozen=True, slots=True)
class AlreadyApplied:
    """What is ordered holds already."""


DeskDecision: TypeAlias = Append | Rejected | AlreadyApplied


def decide(state: Conversation, order: DeskMessage, environment: Environment) -> DeskDecision:
    """Decide an order."""
    if state.closed and not (isinstance(order, Reply) and order.reply_id in state.replies):
        return AlreadyApplied() if isinstance(order, Close) else Rejected("the conversation is closed")
    match order:
        case Claim():
            return _claim(state, order, environment)
        case Reply(reply_id=reply_id) if reply_id in state.replies:
            return AlreadyApplied()
        case Reply() | HandBack() | Close() if state.with_person != order.person:
            holder = state.with_person or "nobody"
            return Rejected(f"the conversation is with {holder}, not with {order.person}: claim it first")
        case Reply():
            event = PersonReplied(
                reply_id=order.reply_id,
                person=order.person,
                text=order.text,
                in_reply_to=state.last_message,
                due_at=_due_at(state, environment),
            )
            return Append("escalation", [event], ESCALATION, "", state.epoch)
        case HandBack():
            return _hand_back(state, order, environment)
        case Close():
            return Append("closed", [Closed(reason=order.reason)], state.owner, state.agent, state.epoch)
        case _:
            assert_never(order)


def _claim(state: Conversation, order: Claim, environment: Environment) -> DeskDecision:
    if state.escalation is None or state.escalation.level != "person":
        return Rejected("the conversation does not wait for a person")
    if state.with_person == order.person:
        return AlreadyApplied()
    if state.with_person:
        return Rejected(f"{state.with_person} has it already")
    event = Claimed(person=order.person, due_at=_due_at(state, environment))
    return Append("escalation", [event], ESCALATION, "", state.epoch + 1)


def _hand_back(state: Conversation, order: HandBack, environment: Environment) -> DeskDecision:
    before = state.escalation.from_ if state.escalation is not None else ""
    to = order.to or before
    if to not in environment.specialties:
        if order.to:
            return Rejected(f"no agent of the fleet has the specialty {order.to!r}")
        to = ""
    event = HandedBack(person=order.person, to=to, note=order.note)
    return Append("escalation", [event], to, "", state.epoch + 1)


def _due_at(state: Conversation, environment: Environment) -> float:
    """A person may stay silent for as long as the urgency allows."""
    urgency = state.escalation.urgency if state.escalation is not None else "normal"
    return environment.now + environment.policy.sla_s.of(urgency)

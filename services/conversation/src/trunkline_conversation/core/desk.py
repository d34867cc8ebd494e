"""Commands of people at the desk: only the person that has claimed a conversation may write in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from trunkline_protocols.desk import AddNote, Claim, Close, DeskMessage, HandBack, Reply
from trunkline_protocols.fleet import ESCALATION
from trunkline_protocols.log import Claimed, Closed, HandedBack, NoteAdded, PersonReplied

from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Environment


@dataclass(frozen=True, slots=True)
class Rejected:
    """The command is rejected; `reason` is returned to the person."""

    reason: str


@dataclass(frozen=True, slots=True)
class AlreadyApplied:
    """The command has no effect because it is applied already."""


DeskDecision: TypeAlias = Append | Rejected | AlreadyApplied


def decide(state: Conversation, command: DeskMessage, environment: Environment) -> DeskDecision:
    """Decide a command."""
    if isinstance(command, AddNote):
        return _add_note(state, command)
    if state.closed and not (isinstance(command, Reply) and command.reply_id in state.replies):
        return AlreadyApplied() if isinstance(command, Close) else Rejected("the conversation is closed")
    match command:
        case Claim():
            return _claim(state, command, environment)
        case Reply(reply_id=reply_id) if reply_id in state.replies:
            return AlreadyApplied()
        case Reply() | HandBack() | Close() if state.with_person != command.person:
            holder = state.with_person or "no person"
            return Rejected(f"the conversation is with {holder}, not with {command.person}: claim it first")
        case Reply():
            event = PersonReplied(
                reply_id=command.reply_id,
                person=command.person,
                text=command.text,
                in_reply_to=state.last_message,
                due_at=_due_at(state, environment),
            )
            return Append("escalation", [event], ESCALATION, "", state.epoch)
        case HandBack():
            return _hand_back(state, command, environment)
        case Close():
            return Append(
                "closed", [Closed(reason=command.reason, person=command.person)], state.owner, state.agent, state.epoch
            )
        case _:
            assert_never(command)


def _add_note(state: Conversation, command: AddNote) -> DeskDecision:
    """Add a note: no claim is required, and the conversation may be closed."""
    if command.note_id in state.replies:
        return AlreadyApplied()
    if not state.started:
        return Rejected("the conversation has no message yet")
    event = NoteAdded(note_id=command.note_id, person=command.person, text=command.text)
    return Append("escalation", [event], state.owner, state.agent, state.epoch)


def _claim(state: Conversation, command: Claim, environment: Environment) -> DeskDecision:
    if state.escalation is None or state.escalation.level != "person":
        return Rejected("the conversation is not waiting for a person")
    if state.with_person == command.person:
        return AlreadyApplied()
    if state.with_person:
        return Rejected(f"already claimed by {state.with_person}")
    event = Claimed(person=command.person, due_at=_due_at(state, environment))
    return Append("escalation", [event], ESCALATION, "", state.epoch + 1)


def _hand_back(state: Conversation, command: HandBack, environment: Environment) -> DeskDecision:
    previous_owner = state.escalation.from_ if state.escalation is not None else ""
    to = command.to or previous_owner
    if to not in environment.specialties:
        if command.to:
            return Rejected(f"unknown specialty {command.to!r}")
        to = ""
    event = HandedBack(person=command.person, to=to, note=command.note)
    return Append("escalation", [event], to, "", state.epoch + 1)


def _due_at(state: Conversation, environment: Environment) -> float:
    """Return the time by which the person must write, from the SLA of the urgency."""
    urgency = state.escalation.urgency if state.escalation is not None else "normal"
    return environment.now + environment.policy.sla_s.of(urgency)

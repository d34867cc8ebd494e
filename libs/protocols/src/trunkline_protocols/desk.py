"""Commands of people at the desk (stream INBOX, beside customers' messages) and their replies (core NATS)."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.texts import StoredTexts, Text
from trunkline_protocols.wire import Wire


class Claim(Wire, frozen=True, kw_only=True, tag="desk.claim"):
    """Command: assign the conversation to a person, who receives the customer's later messages."""

    conversation: ConversationId
    person: str
    previous: int
    """Sequence of the previous desk command of this conversation, 0 for the first; lets a consumer detect gaps."""
    at: float
    reply_to: str = ""


class Reply(StoredTexts, frozen=True, kw_only=True, tag="desk.reply"):
    """Command: send a person's reply. `reply_id` is the idempotency key."""

    identity = ("conversation", "previous")

    conversation: ConversationId
    person: str
    reply_id: str
    text: Text
    previous: int
    at: float
    reply_to: str = ""


class HandBack(StoredTexts, frozen=True, kw_only=True, tag="desk.hand_back"):
    """Command: return the conversation to the fleet, with a note for the next agent."""

    identity = ("conversation", "previous")

    conversation: ConversationId
    person: str
    note: Text
    previous: int
    at: float
    to: str = ""
    """Next specialty; default: the previous owner."""
    reply_to: str = ""


class AddNote(StoredTexts, frozen=True, kw_only=True, tag="desk.note"):
    """Command: add an internal note, which no customer and no agent sees. `note_id` is the idempotency key."""

    identity = ("conversation", "previous")

    conversation: ConversationId
    person: str
    note_id: str
    text: Text
    previous: int
    at: float
    reply_to: str = ""


class Close(StoredTexts, frozen=True, kw_only=True, tag="desk.close"):
    """Command: close the conversation."""

    identity = ("conversation", "previous")

    conversation: ConversationId
    person: str
    reason: Text
    previous: int
    at: float
    reply_to: str = ""


DeskMessage: TypeAlias = Claim | Reply | HandBack | AddNote | Close
SlotMessage: TypeAlias = InboxMessage | DeskMessage
"""Union of all messages that a slot's consumer delivers."""


class DeskOutcome(Wire, frozen=True, kw_only=True, tag="desk.outcome"):
    """Reply to a desk command, published to its `reply_to`; `reason` if it was rejected."""

    done: bool
    reason: str = ""

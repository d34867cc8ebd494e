"""Orders of people at the desk (stream INBOX, beside what customers say), and what became of them (core)."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.wire import Wire


class Claim(Wire, frozen=True, kw_only=True, tag="desk.claim"):
    """A person takes a conversation: what the customer says from now on goes to that person."""

    conversation: ConversationId
    person: str
    previous: int
    """Sequence of the desk's order before in this conversation, 0 for the first: shows a gap to the reader."""
    at: float
    reply_to: str = ""


class Reply(Wire, frozen=True, kw_only=True, tag="desk.reply"):
    """A person answers the customer. `reply_id` is the desk's own id: a repeat is the same reply."""

    conversation: ConversationId
    person: str
    reply_id: str
    text: str
    previous: int
    at: float
    reply_to: str = ""


class HandBack(Wire, frozen=True, kw_only=True, tag="desk.hand_back"):
    """A person gives the conversation back to the fleet, with a note for whoever goes on."""

    conversation: ConversationId
    person: str
    note: str
    previous: int
    at: float
    to: str = ""
    """The specialty that goes on; empty: who had it before."""
    reply_to: str = ""


class Close(Wire, frozen=True, kw_only=True, tag="desk.close"):
    """A person ends the conversation."""

    conversation: ConversationId
    person: str
    reason: str
    previous: int
    at: float
    reply_to: str = ""


DeskMessage: TypeAlias = Claim | Reply | HandBack | Close
SlotMessage: TypeAlias = InboxMessage | DeskMessage
"""Everything that a conversation process finds in the slots of INBOX."""


class DeskOutcome(Wire, frozen=True, kw_only=True, tag="desk.outcome"):
    """Reply to an order of the desk, on its `reply_to`: done, or refused and why."""

    done: bool
    reason: str = ""

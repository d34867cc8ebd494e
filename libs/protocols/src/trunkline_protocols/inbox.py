"""What customers send: stored in stream INBOX before they are told that it was accepted.

Times are Unix seconds (UTC) in `*_at`.
"""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.wire import Wire


class TurnReceived(Wire, frozen=True, kw_only=True, tag="turn.received"):
    """A customer said something; stored before the customer sees `accepted`."""

    conversation: ConversationId
    message_id: str
    """The client's own id; a repeat is the same message."""
    text: str
    seq: int
    """The number of the `accepted` frame: kept here so that every ingress derives the same numbers again."""
    previous: int
    """Inbox sequence of the conversation's message before, 0 for the first: shows a gap to the reader."""
    customer: str
    tenant: str
    region: str
    channel: str
    locale: str
    ingress: Instance
    received_at: float
    tier: str = ""
    """The customer's tier, where the company has any."""


class EndRequested(Wire, frozen=True, kw_only=True, tag="end.requested"):
    """The customer closes the conversation."""

    conversation: ConversationId
    previous: int
    customer: str
    tenant: str
    ingress: Instance
    received_at: float


class FeedbackGiven(Wire, frozen=True, kw_only=True, tag="feedback.given"):
    """The customer rates the conversation, 1 (bad) to 5 (good)."""

    conversation: ConversationId
    previous: int
    rating: int
    received_at: float
    text: str = ""


class WaitCancelled(Wire, frozen=True, kw_only=True, tag="wait.cancelled"):
    """The customer leaves an escalation queue."""

    conversation: ConversationId
    previous: int
    ingress: Instance
    received_at: float
    customer: str = ""
    tenant: str = ""


InboxMessage: TypeAlias = TurnReceived | EndRequested | FeedbackGiven | WaitCancelled

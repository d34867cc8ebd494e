"""Customer messages, stored in stream INBOX before they are accepted.

Times are Unix seconds (UTC) in `*_at`.
"""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.texts import StoredTexts, Text
from trunkline_protocols.wire import Wire


class TurnReceived(StoredTexts, frozen=True, kw_only=True, tag="turn.received"):
    """A message of a customer; stored before the `accepted` frame is sent."""

    identity = ("conversation", "message_id")

    conversation: ConversationId
    message_id: str
    """Idempotency key chosen by the client."""
    text: Text
    seq: int
    """Number of the `accepted` frame, stored so that every ingress derives the same frame numbers."""
    previous: int
    """Inbox sequence of the conversation's previous message, 0 for the first; lets a consumer detect gaps."""
    customer: str
    tenant: str
    region: str
    channel: str
    locale: str
    ingress: Instance
    received_at: float
    tier: str = ""
    """The customer's tier, if the company has tiers."""
    wants_person: bool = False
    """If true, the customer requests a person, whatever the text says."""
    verified: bool = False
    """If true, the customer's id, tenant, region and tier are claims of a verified access token."""


class EndRequested(Wire, frozen=True, kw_only=True, tag="end.requested"):
    """The customer closes the conversation."""

    conversation: ConversationId
    previous: int
    customer: str
    tenant: str
    ingress: Instance
    received_at: float


class FeedbackGiven(StoredTexts, frozen=True, kw_only=True, tag="feedback.given"):
    """The customer rates the conversation, 1 (bad) to 5 (good)."""

    identity = ("conversation", "previous")

    conversation: ConversationId
    previous: int
    rating: int
    received_at: float
    text: Text = ""


class WaitCancelled(Wire, frozen=True, kw_only=True, tag="wait.cancelled"):
    """The customer leaves an escalation queue."""

    conversation: ConversationId
    previous: int
    ingress: Instance
    received_at: float
    customer: str = ""
    tenant: str = ""


InboxMessage: TypeAlias = TurnReceived | EndRequested | FeedbackGiven | WaitCancelled

"""Escalation protocol: the state of an escalation and the entry of the desk's queue."""

from __future__ import annotations

from typing import Final, Literal

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.texts import StoredTexts, Text
from trunkline_protocols.wire import Record

Level = Literal["senior", "person"]
"""Escalation target: senior agents first, then people."""

Urgency = Literal["low", "normal", "high", "critical"]
URGENCIES: Final[tuple[Urgency, ...]] = ("low", "normal", "high", "critical")

MAX_EXCERPT_CHARACTERS: Final = 160


class Escalation(Record, frozen=True, kw_only=True):
    """State of an open escalation. Times in Unix seconds."""

    level: Level
    urgency: Urgency
    reason: Text
    summary: Text
    since: float
    due_at: float
    """SLA deadline: if unclaimed, the urgency rises; if claimed without a reply, the claim is revoked."""
    from_: str = ""
    """Previous owner of the conversation."""
    claimed_by: str = ""
    """Person at the desk with the claim, or empty."""
    breaches: int = 0
    say: Text = ""
    """Authored instruction that the customer reads first."""


class EscalationWaiting(StoredTexts, frozen=True, kw_only=True, tag="escalation.waiting"):
    """A conversation waiting for or assigned to a person: in KV DESK under its id until resolved."""

    identity = ("conversation",)

    conversation: ConversationId
    region: str
    tenant: str
    customer: str
    escalation: Escalation
    last_message: Text = ""
    """The customer's last message, shortened to `MAX_EXCERPT_CHARACTERS`."""
    messages: int = 0
    """Number of the customer's messages so far."""
    unanswered: int = 0
    """Number of the customer's messages since the last answer of an agent or a person."""
    gone_since: float = 0.0
    """Time since which no ingress holds the customer's socket, 0 while one does."""

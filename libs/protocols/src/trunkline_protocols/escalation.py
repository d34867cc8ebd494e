"""Escalation to people: what waits, and what the desk does with it."""

from __future__ import annotations

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.turn import Urgency, Wire


class EscalationWaiting(Wire, frozen=True, kw_only=True, tag="escalation.waiting"):
    """A conversation is in the queue of senior agents or people."""

    conversation: ConversationId
    urgency: Urgency
    reason: str
    summary: str
    waiting_since: float
    due_at: float


class EscalationClaimed(Wire, frozen=True, kw_only=True, tag="escalation.claimed"):
    """A senior agent or a person took it."""

    conversation: ConversationId
    claimed_by: str
    claimed_at: float


class EscalationBreached(Wire, frozen=True, kw_only=True, tag="escalation.breached"):
    """The SLA clock ran out: the urgency rises."""

    conversation: ConversationId
    from_urgency: Urgency
    to_urgency: Urgency
    breached_at: float

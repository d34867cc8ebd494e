"""Escalation: what is known of one, who waits for a person, and in what order the queue is emptied."""

from __future__ import annotations

from typing import Final, Literal

from trunkline_protocols.context import Urgency
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.wire import Record, Wire

Level = Literal["senior", "person"]
"""Senior agents first, from them people."""

URGENCIES: Final[tuple[Urgency, ...]] = ("low", "normal", "high", "critical")


class Escalation(Record, frozen=True, kw_only=True):
    """An escalation under way. Times in Unix seconds."""

    level: Level
    urgency: Urgency
    reason: str
    summary: str
    since: float
    due_at: float
    """When the SLA runs out: unclaimed until then, the urgency rises; claimed and silent until then, it waits again."""
    from_: str = ""
    """Who owned the conversation before."""
    claimed_by: str = ""
    """The person at the desk who has taken it."""
    breaches: int = 0


class EscalationWaiting(Wire, frozen=True, kw_only=True, tag="escalation.waiting"):
    """A conversation that waits for a person, or is with one: in KV DESK under its id, until that is over."""

    conversation: ConversationId
    region: str
    tenant: str
    customer: str
    escalation: Escalation

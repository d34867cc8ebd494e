"""Messages in stream HOLDS: legal holds, which keep records beyond their retention."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.wire import Wire


class HoldPlaced(Wire, frozen=True, kw_only=True, tag="hold.placed"):
    """The records of a conversation, of a customer, or of a tenant must be kept.

    Of a customer, `tenant` and `customer` are set; of a tenant, `tenant` alone.
    """

    hold: str
    reason: str
    placed_at: float
    operator: str
    """Name of the operator's key; empty for the shared token."""
    role: str
    conversation: ConversationId | None = None
    tenant: str = ""
    customer: str = ""


class HoldReleased(Wire, frozen=True, kw_only=True, tag="hold.released"):
    """A hold has ended: its records are kept for their retention only."""

    hold: str
    reason: str
    released_at: float
    operator: str
    role: str


HoldMessage: TypeAlias = HoldPlaced | HoldReleased

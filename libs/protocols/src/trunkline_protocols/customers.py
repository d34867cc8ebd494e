"""Customers: the known data about one, in KV CUSTOMERS, and the request to read it from the company's systems.

Times are Unix seconds (UTC) in `*_at`.
"""

from __future__ import annotations

from trunkline_protocols import subjects
from trunkline_protocols.context import Fact, Utterance
from trunkline_protocols.customer_keys import hash_of
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.texts import StoredTexts, Text
from trunkline_protocols.wire import Record, Wire


class Reading(Record, frozen=True, kw_only=True):
    """The last attempts of one reader for one customer."""

    tried_at: float
    read_at: float = 0.0
    """Time of the last success, 0 without one."""
    failure: str = ""
    """Kind of the last failure, empty after a success."""


class CustomerKnown(StoredTexts, frozen=True, kw_only=True, tag="customer.known"):
    """Known data about a customer. It never names the customer: its key is a hash of the id."""

    facts: list[Fact] = []
    readings: dict[str, Reading] = {}
    """Last attempts by the name of the reader."""
    claims: dict[str, Text] = {}
    """Further claims of the customer's last access token that the fleet allows."""
    conversation: ConversationId = ConversationId("")
    """Conversation of `earlier`."""
    earlier: list[Utterance] = []
    """The last messages of the customer's last closed conversation, shortened."""
    reader: str = ""
    """Process that reads the facts at present; no other one does until `reading_until`."""
    reading_until: float = 0.0


class ReadCustomer(Wire, frozen=True, kw_only=True, tag="customer.read"):
    """Request: read the facts that are due, store them, and reply with the known data."""

    tenant: str
    region: str
    customer: str
    tier: str = ""
    fleet_version: int = 0
    """Fleet version whose readers are asked; 0: the served one."""


def subject_of(tenant: str, customer: str) -> str:
    """Return the KV subject of a customer, with a hash of the tenant and the id: a listing names no customer."""
    return subjects.customer(tenant, hash_of(tenant, customer))

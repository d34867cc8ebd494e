"""A customer as operators see it: facts with their ages, and the state of the readers."""

from __future__ import annotations

import msgspec
from trunkline_protocols.context import FactValue, Role
from trunkline_protocols.customers import CustomerKnown


class FactView(msgspec.Struct, frozen=True, kw_only=True):
    """A fact and the seconds since it was read."""

    name: str
    value: FactValue
    age_s: float


class ReadingView(msgspec.Struct, frozen=True, kw_only=True):
    """The last attempt of a reader, and the kind of its failure, empty after a success."""

    reader: str
    age_s: float
    failure: str


class EarlierMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the customer's last closed conversation."""

    role: Role
    text: str


class CustomerView(msgspec.Struct, frozen=True, kw_only=True):
    """The known data about a customer."""

    customer: str
    tenant: str
    facts: list[FactView]
    readings: list[ReadingView]
    claims: dict[str, str]
    conversation: str
    """Last closed conversation, empty without one."""
    earlier: list[EarlierMessage]


def customer_view(tenant: str, customer: str, known: CustomerKnown, *, now: float) -> CustomerView:
    """Return the view at `now`, Unix seconds."""
    return CustomerView(
        customer=customer,
        tenant=tenant,
        facts=[FactView(name=fact.name, value=fact.value, age_s=_age(fact.read_at, now)) for fact in known.facts],
        readings=[
            ReadingView(reader=name, age_s=_age(reading.tried_at, now), failure=reading.failure)
            for name, reading in sorted(known.readings.items())
        ],
        claims=known.claims,
        conversation=known.conversation,
        earlier=[EarlierMessage(role=each.role, text=each.text) for each in known.earlier],
    )


def _age(at: float, now: float) -> float:
    return round(max(0.0, now - at), 1)

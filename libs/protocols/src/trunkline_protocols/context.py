"""Conversation context handed to an agent."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from trunkline_protocols.texts import TEXT, Text
from trunkline_protocols.wire import Record

Role = Literal["customer", "agent", "person"]

FactValue: TypeAlias = str | int | float | bool | dict[str, str]
"""Value of a fact; a table maps the key of each row to its text."""


class Utterance(Record, frozen=True, kw_only=True):
    """One message of a conversation; `specialty` is set for agents only."""

    role: Role
    text: Text
    specialty: str = ""
    documents: list[str] = []
    """Articles that an agent's message cites."""


class Fact(Record, frozen=True, kw_only=True):
    """One thing that a system of the company says about a customer."""

    name: str
    value: Annotated[FactValue, TEXT]
    read_at: float
    """Time of its reading, Unix seconds."""


class Context(Record, frozen=True, kw_only=True):
    """Conversation context of a turn."""

    tenant: str
    region: str
    locale: str
    transcript: list[Utterance]
    summary: str = ""
    """Summary of everything before the transcript."""
    note: str = ""
    """Note from the previous agent of a handoff, or from a person at the desk."""
    customer: str = ""
    """The customer's id. With authentication, this, tenant, region and tier are claims of the access token."""
    tier: str = ""
    """The customer's tier; empty for a customer without one."""
    facts: list[Fact] = []
    """Facts about the customer, at most `rules.facts.MAX_FACTS_BYTES` as JSON."""
    claims: dict[str, str] = {}
    """Further claims of the access token that the fleet allows."""
    earlier: list[Utterance] = []
    """The last messages of the customer's previous conversation."""
    channel: str = ""
    verified: bool = False
    """If true, the customer's id and claims come from a verified access token."""
    excluded_topics: list[str] = []
    """Topics that the fleet keeps for other customers: no agent finds their articles."""

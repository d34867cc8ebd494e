"""Conversation context handed to an agent."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.wire import Record

Role = Literal["customer", "agent", "person"]


class Utterance(Record, frozen=True, kw_only=True):
    """One message of a conversation; `specialty` is set for agents only."""

    role: Role
    text: str
    specialty: str = ""
    documents: list[str] = []
    """Articles that an agent's message cites."""


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

"""The context of a conversation that an agent answers with."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.wire import Record

Role = Literal["customer", "agent", "person"]


Urgency = Literal["low", "normal", "high", "critical"]


class Utterance(Record, frozen=True, kw_only=True):
    """One thing that was said in a conversation; `specialty` and `agent` only for agents."""

    role: Role
    text: str
    specialty: str = ""
    agent: str = ""


class Context(Record, frozen=True, kw_only=True):
    """What an agent must know about a conversation to answer in it."""

    customer: str
    tenant: str
    region: str
    locale: str
    transcript: list[Utterance]
    summary: str = ""
    """What happened before the transcript begins."""
    note: str = ""
    """What the agent that handed over, or the person at the desk, wrote for the next one."""

"""The protocol of consultation: the order, its progress and advice, and what a commit records of it.

Times are Unix seconds (UTC) in `*_at`, durations are milliseconds in `*_ms`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from trunkline_protocols.accounting import Usage
from trunkline_protocols.citations import Citation
from trunkline_protocols.context import Context
from trunkline_protocols.ids import Instance, Specialty, TurnRef
from trunkline_protocols.wire import Record, Wire

ConsultOutcome = Literal["advised", "refused", "timeout", "too_late"]


class Consultation(Record, frozen=True, kw_only=True):
    """One specialist that was asked while a turn was answered, and what came of it."""

    consultation: str
    specialty: str
    question: str
    outcome: ConsultOutcome
    agent: str = ""
    advice: str = ""
    citations: list[Citation] = []
    reason: str = ""
    """Why there is no advice."""
    usage: Usage = Usage()
    took_ms: float = 0.0
    """From the question to the advice, as the asker saw it."""
    work_ms: float = 0.0
    """The specialist's own work in it."""


class Consult(Wire, frozen=True, kw_only=True, tag="consult"):
    """Order: a specialist gives advice to another agent; ownership stays where it is.

    `depth` is 1 for a question of an agent that answers a customer; a specialist that consults in turn asks with 2.
    """

    consultation: str
    ref: TurnRef
    specialty: Specialty
    asked_by: str
    """The specialty that asks."""
    question: str
    context: Context
    depth: int
    deadline_at: float
    asker: Instance = Instance("")
    """The process that waits for the advice."""
    asked_at: float = 0.0
    agent: str = ""
    """The agent that is meant, or empty: the specialty chooses."""


class ConsultCancelled(Wire, frozen=True, kw_only=True, tag="consult.cancelled"):
    """Nobody waits for this advice any more."""

    consultation: str
    reason: str


class ConsultProgress(Wire, frozen=True, kw_only=True, tag="consult.progress"):
    """The specialist works on it; resets the asker's timer."""

    consultation: str
    instance: Instance


class Advice(Wire, frozen=True, kw_only=True, tag="consult.advice"):
    """What the specialist says, with its sources."""

    consultation: str
    specialty: Specialty
    agent: str
    text: str
    citations: list[Citation] = []
    usage: Usage = Usage()
    work_ms: float = 0.0


class AdviceRefused(Wire, frozen=True, kw_only=True, tag="consult.refused"):
    """The specialist cannot help, and why: depth, itself, deadline, failure."""

    consultation: str
    reason: str


ConsultReply: TypeAlias = ConsultProgress | Advice | AdviceRefused

"""Consultation protocol: request, progress, advice, and the record kept in a commit.

Times are Unix seconds (UTC) in `*_at`, durations are milliseconds in `*_ms`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from trunkline_protocols.accounting import Usage
from trunkline_protocols.citations import Citation, Retrieved
from trunkline_protocols.context import Context
from trunkline_protocols.ids import Instance, Specialty, TurnRef
from trunkline_protocols.wire import Record, Wire

ConsultOutcome = Literal["advised", "refused", "timeout", "too_late"]


class Consultation(Record, frozen=True, kw_only=True):
    """Record of one consultation during a turn, and its outcome."""

    consultation: str
    specialty: str
    question: str
    outcome: ConsultOutcome
    agent: str = ""
    advice: str = ""
    citations: list[Citation] = []
    reason: str = ""
    """Reason for missing advice."""
    usage: Usage = Usage()
    took_ms: float = 0.0
    """Time from question to advice, measured by the requester."""
    work_ms: float = 0.0
    """The specialist's share of `took_ms`."""
    provider: str = ""
    model: str = ""
    retrieved: list[Retrieved] = []


class Consult(Wire, frozen=True, kw_only=True, tag="consult"):
    """Request: advise another agent; ownership of the conversation does not change.

    `depth` is 1 if the requester answers a customer, 2 if it is itself being consulted.
    """

    consultation: str
    ref: TurnRef
    specialty: Specialty
    requested_by: str
    """Specialty of the requester."""
    question: str
    context: Context
    depth: int
    deadline_at: float
    reply_to: Instance = Instance("")
    """Process that awaits the advice."""
    requested_at: float = 0.0
    agent: str = ""
    """Requested agent; default: chosen by the specialty."""
    fleet_version: int = 0
    """Fleet version of the turn."""


class ConsultCancelled(Wire, frozen=True, kw_only=True, tag="consult.cancelled"):
    """Command: stop working on this advice."""

    consultation: str


class ConsultProgress(Wire, frozen=True, kw_only=True, tag="consult.progress"):
    """Heartbeat of a running consultation; resets the requester's timeout."""

    consultation: str


class Advice(Wire, frozen=True, kw_only=True, tag="consult.advice"):
    """The specialist's advice with its sources."""

    consultation: str
    agent: str
    text: str
    citations: list[Citation] = []
    usage: Usage = Usage()
    work_ms: float = 0.0
    provider: str = ""
    model: str = ""
    retrieved: list[Retrieved] = []
    """Passages that the specialist found."""


class AdviceRefused(Wire, frozen=True, kw_only=True, tag="consult.refused"):
    """Refusal by the specialist: depth limit, its own specialty, deadline or failure."""

    consultation: str
    reason: str
    provider: str = ""
    model: str = ""
    usage: Usage = Usage()
    """Usage of a completion that gave no advice."""


ConsultReply: TypeAlias = ConsultProgress | Advice | AdviceRefused

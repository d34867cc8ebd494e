"""Broadcast: system-wide notices and their receipts (stream NOTICES)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from trunkline_protocols.ids import Instance
from trunkline_protocols.subjects import Audience
from trunkline_protocols.wire import Wire

Severity = Literal["info", "warning", "critical"]


class NoticePublished(Wire, frozen=True, kw_only=True, tag="notice.published"):
    """Something every agent, and where asked every customer, must know until it expires."""

    notice: str
    text: str
    severity: Severity
    audience: Audience
    published_at: float
    expires_at: float
    region: str = "local"
    specialties: list[str] = []
    """Empty: all."""
    tenants: list[str] = []
    """Empty: all."""


class NoticeRecalled(Wire, frozen=True, kw_only=True, tag="notice.recalled"):
    """The notice no longer holds."""

    notice: str
    recalled_at: float
    audience: Audience = "all"
    region: str = "local"


class NoticeReceipt(Wire, frozen=True, kw_only=True, tag="notice.receipt"):
    """A process has taken the notice into account (stream NOTICES): what it does next, it does knowing it."""

    notice: str
    instance: Instance
    received_at: float
    service: str = ""


NoticeMessage: TypeAlias = NoticePublished | NoticeRecalled
NoticesMessage: TypeAlias = NoticePublished | NoticeRecalled | NoticeReceipt
"""Everything in stream NOTICES."""

"""Broadcast protocol: system-wide notices, recalls and receipts in stream NOTICES."""

from __future__ import annotations

from typing import Literal, TypeAlias

from trunkline_protocols.ids import Instance
from trunkline_protocols.subjects import Audience
from trunkline_protocols.wire import Wire

Severity = Literal["info", "warning", "critical"]


class NoticePublished(Wire, frozen=True, kw_only=True, tag="notice.published"):
    """A notice for agents, customers or both, active until it expires."""

    notice: str
    text: str
    severity: Severity
    audience: Audience
    published_at: float
    expires_at: float
    region: str = "local"
    specialties: list[str] = []
    """Empty: no restriction."""
    tenants: list[str] = []
    """Empty: no restriction."""


class NoticeRecalled(Wire, frozen=True, kw_only=True, tag="notice.recalled"):
    """Recall of a notice before its expiry."""

    notice: str
    recalled_at: float
    audience: Audience = "all"
    region: str = "local"


class NoticeReceipt(Wire, frozen=True, kw_only=True, tag="notice.receipt"):
    """Acknowledgement by one process that the notice applies to all its later work."""

    notice: str
    instance: Instance
    received_at: float
    service: str = ""


NoticeMessage: TypeAlias = NoticePublished | NoticeRecalled
NoticesMessage: TypeAlias = NoticePublished | NoticeRecalled | NoticeReceipt
"""Union of all messages in stream NOTICES."""

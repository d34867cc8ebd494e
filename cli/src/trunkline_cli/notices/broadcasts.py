"""Broadcasts of the operators' API: publish a notice, wait for its receipts, list and recall."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

import msgspec
from rich.markup import escape
from rich.table import Table
from trunkline_protocols.broadcast import NoticePublished, NoticeRecalled

from trunkline_cli.client import delete, get, post
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_PATH: Final = "/v1/ops/notices"
_RECEIPTS_TIMEOUT_S: Final = 5.0
_POLL_INTERVAL_S: Final = 0.2
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


class NoticeReport(msgspec.Struct, kw_only=True):
    """A notice, the processes that sent a receipt and those that did not."""

    notice: NoticePublished
    received_by: list[str]
    missing: list[str]


def seconds(ttl: str) -> float:
    """Parse a duration such as 90, 30s, 15m, 8h or 2d; raise `CommandError` if it is malformed."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", ttl.strip())
    if match is None:
        raise CommandError(f"--ttl {ttl!r}: must be a number with s, m, h or d, such as 30m")
    return float(match[1]) * _UNITS[match[2] or "s"]


def publish_notice(settings: ClientSettings, request: Mapping[str, object]) -> NoticeReport:
    """Broadcast a notice and wait up to 5 s for the receipts of all live processes."""
    report = post(settings, _PATH, request, NoticeReport)
    deadline = time.monotonic() + _RECEIPTS_TIMEOUT_S
    while report.missing and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL_S)
        report = get(settings, f"{_PATH}/{report.notice.notice}", NoticeReport)
    return report


def read_notices(settings: ClientSettings) -> list[NoticeReport]:
    """Return the active notices."""
    return get(settings, _PATH, list[NoticeReport])


def recall_notice(settings: ClientSettings, notice: str) -> NoticeRecalled:
    """Recall a notice before it expires."""
    return delete(settings, f"{_PATH}/{notice}", NoticeRecalled)


def notices_table(reports: list[NoticeReport]) -> Table:
    """Return notices and their receipts as a table, one notice per row."""
    table = Table(box=None, pad_edge=False)
    for heading in ("notice", "severity", "audience", "expires", "received", "missing", "text"):
        table.add_column(heading, overflow="fold")
    for report in reports:
        notice = report.notice
        table.add_row(
            notice.notice,
            notice.severity,
            notice.audience,
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(notice.expires_at)),
            str(len(report.received_by)),
            ", ".join(report.missing) or "-",
            escape(notice.text),
        )
    return table

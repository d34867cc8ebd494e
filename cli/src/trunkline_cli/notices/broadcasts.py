"""`trunkline notice`: broadcast to agents and customers, see who has received it, recall it."""

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

_RECEIPTS_TIMEOUT_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.2
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


class NoticeReport(msgspec.Struct, kw_only=True):
    """A notice and its receipts, as the API tells them."""

    notice: NoticePublished
    received_by: list[str]
    missing: list[str]


def seconds(ttl: str) -> float:
    """Read a duration such as 90, 30s, 15m, 8h or 2d."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", ttl.strip())
    if match is None:
        raise CommandError(f"--ttl {ttl!r}: a number with s, m, h or d is needed, such as 30m")
    return float(match[1]) * _UNITS[match[2] or "s"]


def publish(settings: ClientSettings, order: Mapping[str, object]) -> NoticeReport:
    """Broadcast, and wait until every process that lives has confirmed it, or a few seconds are over."""
    shown = post(settings, "/v1/ops/notices", order, NoticeReport)
    deadline = time.monotonic() + _RECEIPTS_TIMEOUT_S
    while shown.missing and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
        shown = get(settings, f"/v1/ops/notices/{shown.notice.notice}", NoticeReport)
    return shown


def in_force(settings: ClientSettings) -> list[NoticeReport]:
    """Read the notices in force."""
    return get(settings, "/v1/ops/notices", list[NoticeReport])


def recall(settings: ClientSettings, notice: str) -> NoticeRecalled:
    """Take a notice back."""
    return delete(settings, f"/v1/ops/notices/{notice}", NoticeRecalled)


def table_of(notices: list[NoticeReport]) -> Table:
    """Draw notices with their receipts."""
    table = Table(box=None, pad_edge=False)
    for heading in ("notice", "severity", "audience", "until", "received", "missing", "text"):
        table.add_column(heading, overflow="fold")
    for shown in notices:
        notice = shown.notice
        table.add_row(
            notice.notice,
            notice.severity,
            notice.audience,
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(notice.expires_at)),
            str(len(shown.received_by)),
            ", ".join(shown.missing) or "-",
            escape(notice.text),
        )
    return table

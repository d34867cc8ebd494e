"""Alert for values and messages that cannot be decoded: they are skipped, the last readable value stays in use."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

import structlog
from prometheus_client import Counter

_log: Final = structlog.get_logger(__name__)
_UNDECODABLE: Final = Counter(
    "trunkline_undecodable_total", "Stored values and messages that could not be decoded and were skipped", ["kind"]
)
_LOG_INTERVAL_S: Final = 60.0
"""A value that is read periodically is logged once in this time."""
_MAX_REMEMBERED: Final = 1_000

_logged_at: Final[OrderedDict[str, float]] = OrderedDict()


def report_undecodable(kind: str, subject: str, error: Exception, *, sequence: int = 0) -> None:
    """Count a value of a kind (`fleet`, `notice`, ...) that was skipped, and log it at most once a minute."""
    _UNDECODABLE.labels(kind).inc()
    place = f"{kind}:{subject}:{sequence}"
    now = time.monotonic()
    if place in _logged_at and now - _logged_at[place] < _LOG_INTERVAL_S:
        return
    _logged_at[place] = now
    _logged_at.move_to_end(place)
    if len(_logged_at) > _MAX_REMEMBERED:
        _logged_at.popitem(last=False)
    _log.error("value.undecodable", kind=kind, subject=subject, sequence=sequence, error=str(error))

"""The time of the suite: that of most of its processes, as their heartbeats show it.

A process whose host's clock is wrong would escalate, expire and draw up records by that clock. If it is far from most
others, their time counts instead; the processes of one host cannot outvote those of two others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median_low
from typing import Final

import structlog
from prometheus_client import Gauge

from trunkline_chassis.presence import PresenceRegistry

_log: Final = structlog.get_logger(__name__)
_OFFSET: Final = Gauge(
    "trunkline_clock_offset_seconds", "Seconds that this process' wall clock is ahead of most others of the suite"
)
TOLERANCE_S: Final = 5.0
"""Differences up to this are left: clocks that are kept in time differ by less, and heartbeats take a moment."""
_MIN_PROCESSES: Final = 3
"""Of two clocks, none is known to be the right one."""
_INTERVAL_S: Final = 1.0


class SuiteClock:
    """The wall clock of this process, unless it is more than 5 s away from that of most processes."""

    def __init__(
        self,
        presences: PresenceRegistry,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`presences` is empty in services that do not watch presences, which keep their own clock."""
        self._presences = presences
        self._wall = wall
        self._monotonic = monotonic
        self._checked_at = -_INTERVAL_S
        self._difference_s: float | None = None
        """Wall time of most processes less the monotonic time of this one: no jump of the own clock moves it."""
        self._measured_s: float | None = None
        self._is_corrected = False
        _OFFSET.set_function(lambda: 0.0 - self._correction_s())

    def time(self) -> float:
        """Return Unix seconds."""
        correction_s = self._correction_s()
        is_wrong = abs(correction_s) > TOLERANCE_S
        if is_wrong != self._is_corrected:
            self._is_corrected = is_wrong
            if is_wrong:
                _log.warning("clock.corrected", seconds=round(correction_s, 1))
            else:
                _log.warning("clock.agrees", seconds=round(correction_s, 1))
        return self._wall() + (correction_s if is_wrong else 0.0)

    def _correction_s(self) -> float:
        """Return the seconds by which most clocks are ahead of the own one, 0 if that is unknown."""
        now = self._monotonic()
        if now - self._checked_at >= _INTERVAL_S:
            self._checked_at = now
            self._measure()
        return 0.0 if self._difference_s is None else now + self._difference_s - self._wall()

    def _measure(self) -> None:
        readings = self._presences.clock_readings()
        before, self._measured_s = self._measured_s, median_low(readings) if len(readings) >= _MIN_PROCESSES else None
        # After a fault of NATS, heartbeats of some seconds ago arrive together: a change counts when it is seen again.
        if (
            self._difference_s is None
            or _agree(self._measured_s, self._difference_s)
            or _agree(self._measured_s, before)
        ):
            self._difference_s = self._measured_s


def _agree(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= TOLERANCE_S

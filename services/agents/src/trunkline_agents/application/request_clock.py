"""Reads the times of requests by the clock of this process, whatever the sender's clock shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_chassis.clock import steady_time
from trunkline_protocols.streams import WORK
from trunkline_protocols.turn import WorkMessage

from trunkline_agents.core.request_times import age_s, is_doubtful, with_age
from trunkline_agents.ports import QueueAges

_log: Final = structlog.get_logger(__name__)
_DIFFERENCES: Final = Counter(
    "trunkline_clock_differences_total", "Requests that by their times are from the future, or older than any can be"
)
_TOLERANCE_S: Final = 1.0
_LOG_INTERVAL_S: Final = 60.0


class RequestClock:
    """Replaces the times of a request by those of `steady_time`, which no change of a wall clock moves."""

    def __init__(
        self, queue: QueueAges, *, now: Callable[[], float] = steady_time, wall: Callable[[], float] = time.time
    ) -> None:
        """`queue` knows the age of queued work by one clock, that of the server that stores it."""
        self._queue = queue
        self._now = now
        self._wall = wall
        self._logged_at = -_LOG_INTERVAL_S

    async def read(self, message: WorkMessage, *, stored_at: float) -> WorkMessage:
        """Return the request with times of this process; `stored_at` is the server's time of the queued message.

        The server is asked only if the two clocks differ, or if the work has been queued for seconds. If it does not
        answer, a request of an impossible age counts as new: the requester drops a result that is too late.
        """
        shown_s = age_s(message, self._wall())
        if shown_s is None:
            return message
        if not is_doubtful(shown_s):
            return with_age(message, max(0.0, shown_s), self._now())
        queued_s = await self._queue.age_s(stored_at)
        is_possible = 0 <= shown_s <= WORK.max_age_s
        if not is_possible:
            self._report(shown_s - (queued_s or 0.0), self._now())
        if queued_s is None:
            return with_age(message, shown_s if is_possible else 0.0, self._now())
        # Work that was lost and is queued again is older than its message.
        return with_age(message, shown_s if abs(shown_s - queued_s) <= _TOLERANCE_S else queued_s, self._now())

    def _report(self, difference_s: float, now: float) -> None:
        _DIFFERENCES.inc()
        if now - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = now
            _log.warning("clock.differs", seconds=round(difference_s, 1))

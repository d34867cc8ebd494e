"""Monitoring of the lag between the streams and the archive."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Final

from prometheus_client import Gauge
from trunkline_chassis.errors import BusError
from trunkline_chassis.ticks import next_tick

from trunkline_audit.ports import Feeds

_LAG: Final = Gauge("trunkline_audit_lag_seconds", "Age of the oldest unrecorded message; 0 if all are recorded")
_INTERVAL_S: Final = 1.0


class LagMonitor:
    """Measures the lag on the streams, not in the recorder: the figure is right even while recording is interrupted."""

    def __init__(self, feeds: Feeds, *, now: Callable[[], datetime]) -> None:
        """Start with a lag of zero."""
        self._feeds = feeds
        self._now = now
        self.pending = 0
        """Number of messages that are not recorded yet."""

    async def run(self) -> None:
        """Measure every second until cancelled; if NATS does not answer, the last figure stays."""
        while True:
            with contextlib.suppress(BusError):
                await self._measure()
            await next_tick(_INTERVAL_S)

    async def _measure(self) -> None:
        backlogs = [await self._feeds.backlog(stream) for stream in self._feeds.streams]
        self.pending = sum(backlog.messages for backlog in backlogs)
        oldest = min((backlog.oldest for backlog in backlogs if backlog.oldest is not None), default=None)
        _LAG.set(0.0 if oldest is None else max(0.0, (self._now() - oldest).total_seconds()))

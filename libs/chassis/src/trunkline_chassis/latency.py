"""Recent latencies of a process, for its heartbeat; the history is in Prometheus."""

from __future__ import annotations

from collections import deque
from typing import Final

_WINDOW: Final = 512


class RecentLatency:
    """The last 512 durations in milliseconds."""

    def __init__(self) -> None:
        """Start empty."""
        self._durations: deque[float] = deque(maxlen=_WINDOW)

    def add(self, duration_ms: float) -> None:
        """Add one duration."""
        self._durations.append(duration_ms)

    def percentile(self, percent: float) -> float:
        """Return the nearest-rank percentile, 0 if there are no durations."""
        if not self._durations:
            return 0.0
        ordered = sorted(self._durations)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

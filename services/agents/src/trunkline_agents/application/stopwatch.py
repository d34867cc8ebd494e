"""Stopwatch for the phases of a turn."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stopwatch:
    """Measures consecutive phases of one turn, in milliseconds."""

    queued_ms: float
    """Time in the work queue, before the first phase."""
    lap_started_at: float = field(default_factory=time.perf_counter)

    def lap_ms(self) -> float:
        """Return the time since the last call and start the next phase."""
        now = time.perf_counter()
        lap = (now - self.lap_started_at) * 1000
        self.lap_started_at = now
        return lap

"""Restart policy: immediately after the first death, then with exponential backoff, and up to a restart intensity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIN_DELAY_S: Final = 0.1
MAX_DELAY_S: Final = 10.0
STABLE_AFTER_S: Final = 30.0
MAX_DEATHS: Final = 8
"""Per process within `DEATH_WINDOW_S`; one more is a crash loop."""
DEATH_WINDOW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """Restarts of one process, in total and in a row."""

    total: int = 0
    consecutive: int = 0

    def after_death(self, uptime_s: float) -> Restarts:
        """Count a death; if the process was up for `STABLE_AFTER_S`, the backoff starts again."""
        return Restarts(self.total + 1, 1 if uptime_s >= STABLE_AFTER_S else self.consecutive + 1)

    @property
    def delay_s(self) -> float:
        """Seconds to wait before the next start."""
        if self.consecutive == 0:
            return 0.0
        return min(MIN_DELAY_S * 2.0 ** (self.consecutive - 1), MAX_DELAY_S)


@dataclass(frozen=True, slots=True)
class RestartIntensity:
    """Recent deaths in a pool, as times in seconds of one clock."""

    deaths: tuple[float, ...] = ()

    def after_death(self, now: float) -> RestartIntensity:
        """Count a death and drop the ones outside the window."""
        return RestartIntensity((*(at for at in self.deaths if now - at < DEATH_WINDOW_S), now))

    def is_crash_loop(self, processes: int) -> bool:
        """Return whether the deaths exceed the maximum for a pool of `processes`."""
        return len(self.deaths) > MAX_DEATHS * max(1, processes)

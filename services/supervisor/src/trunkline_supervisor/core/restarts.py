"""When a process that died is started again: at once the first time, then with growing delay, and not for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 10.0
STABLE_AFTER_S: Final = 30.0
MOST_DEATHS: Final = 8
"""Of one process within `WITHIN_S`; one more is a crash loop."""
WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a process was started again, and how often in a row."""

    total: int = 0
    in_a_row: int = 0

    def after_death(self, lived_s: float) -> Restarts:
        """Count a death; a process that lived for half a minute starts its row anew."""
        return Restarts(self.total + 1, 1 if lived_s >= STABLE_AFTER_S else self.in_a_row + 1)

    @property
    def delay_s(self) -> float:
        """Seconds to wait before the next start."""
        if self.in_a_row == 0:
            return 0.0
        return min(FIRST_DELAY_S * 2.0 ** (self.in_a_row - 1), LONGEST_DELAY_S)


@dataclass(frozen=True, slots=True)
class Intensity:
    """How often the processes of a pool have died lately. Times in seconds of one clock."""

    deaths: tuple[float, ...] = ()

    def after_death(self, now: float) -> Intensity:
        """Count a death; what is long ago is forgotten."""
        return Intensity((*(at for at in self.deaths if now - at < WITHIN_S), now))

    def is_crash_loop(self, processes: int) -> bool:
        """Whether that is more than so many processes may die."""
        return len(self.deaths) > MOST_DEATHS * max(1, processes)

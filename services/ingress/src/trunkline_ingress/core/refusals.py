"""Response to a socket whose frames are refused again and again."""

from __future__ import annotations

from typing import Final

_FORGOTTEN_PER_S: Final = 0.5
_DELAYS_S: Final = ((10, 0.0), (30, 1.0), (50, 5.0))
"""Pause after a refused frame, by the number of recent refusals up to which it holds.

Closing the socket early would cost more than a pause: the client connects again.
"""


class RecentRefusals:
    """Number of recent refusals; times are seconds of a monotonic clock, passed in by the caller."""

    def __init__(self, now: float) -> None:
        """Start without refusals."""
        self._level = 0.0
        self._recorded_at = now

    def record(self, now: float) -> float | None:
        """Record a refusal; return the seconds to pause before the next frame, None if the socket must be closed."""
        self._level = max(0.0, self._level - (now - self._recorded_at) * _FORGOTTEN_PER_S) + 1
        self._recorded_at = now
        return next((delay_s for limit, delay_s in _DELAYS_S if self._level <= limit), None)

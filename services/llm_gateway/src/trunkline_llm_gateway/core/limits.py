"""How many calls a provider is given at once: as many as it takes without getting slower.

The limit follows the gradient of latency: when calls take longer than they usually do, the provider queues, and it is
given fewer; when they do not and the limit is used, it is given more. (The idea is TCP Vegas', as in Netflix'
concurrency-limits.)
"""

from __future__ import annotations

import math
from typing import Final

_LONG: Final = 0.01
"""Weight of a new call in the usual latency."""
_SHORT: Final = 0.2
_TOLERANCE: Final = 1.5
"""So much slower than usual is noise."""
_SMOOTHING: Final = 0.2
_BACKOFF: Final = 0.9
_LEAST_GRADIENT: Final = 0.5


class ConcurrencyLimit:
    """A number that moves between a minimum and the configured maximum."""

    def __init__(self, most: int, *, least: int = 2) -> None:
        """Begin at the maximum: what a provider can take is not held back before it has shown that it cannot."""
        self._most = float(most)
        self._least = float(min(least, most))
        self._limit = float(most)
        self._usual_s = 0.0
        self._recent_s = 0.0

    @property
    def value(self) -> int:
        """Calls at once."""
        return int(self._limit)

    @property
    def usual_s(self) -> float:
        """Time to the first token as it usually is; 0 before the first call."""
        return self._usual_s

    def answered(self, latency_s: float, in_flight: int) -> None:
        """Take a call's time to its first token into account; `in_flight` includes that call."""
        if self._usual_s == 0.0:
            self._usual_s = self._recent_s = latency_s
            return
        self._usual_s += _LONG * (latency_s - self._usual_s)
        self._recent_s += _SHORT * (latency_s - self._recent_s)
        if self._recent_s < self._usual_s:
            # It has become faster: what was usual is forgotten sooner than it was learnt.
            self._usual_s += 5 * _LONG * (self._recent_s - self._usual_s)
        gradient = max(_LEAST_GRADIENT, min(1.0, _TOLERANCE * self._usual_s / max(self._recent_s, 1e-9)))
        if gradient == 1.0 and in_flight < self._limit / 2:
            return
        wanted = self._limit * gradient + math.sqrt(self._limit)
        self._set(self._limit + _SMOOTHING * (wanted - self._limit))

    def refused(self) -> None:
        """Take into account that the provider said it has too much, or did not answer in time."""
        self._set(self._limit * _BACKOFF)

    def _set(self, limit: float) -> None:
        self._limit = max(self._least, min(self._most, limit))

"""Adaptive limit of concurrent calls to a provider.

The limit follows the gradient of latency: if calls take longer than usual, the provider is queueing and the limit
decreases; if they do not and the limit is used, it increases. (The idea is TCP Vegas', as in Netflix'
concurrency-limits.)
"""

from __future__ import annotations

import math
from typing import Final

_BASELINE_WEIGHT: Final = 0.01
"""Weight of a new call in the usual latency."""
_RECENT_WEIGHT: Final = 0.2
_TOLERANCE: Final = 1.5
"""Ratio of recent to usual latency up to which a slowdown is noise."""
_SMOOTHING: Final = 0.2
_BACKOFF: Final = 0.9
_MIN_GRADIENT: Final = 0.5


class ConcurrencyLimit:
    """A number between a minimum and the configured maximum."""

    def __init__(self, maximum: int, *, minimum: int = 2) -> None:
        """Start at the maximum: a provider is not throttled before it has shown signs of load."""
        self._maximum = float(maximum)
        self._minimum = float(min(minimum, maximum))
        self._limit = float(maximum)
        self._baseline_s = 0.0
        self._recent_s = 0.0

    @property
    def value(self) -> int:
        """Maximum number of concurrent calls."""
        return int(self._limit)

    @property
    def baseline_s(self) -> float:
        """Usual time to first token in seconds, 0 before the first call."""
        return self._baseline_s

    def record_latency(self, latency_s: float, in_flight: int) -> None:
        """Adapt to a call's time to first token; `in_flight` includes that call."""
        if self._baseline_s == 0.0:
            self._baseline_s = self._recent_s = latency_s
            return
        self._baseline_s += _BASELINE_WEIGHT * (latency_s - self._baseline_s)
        self._recent_s += _RECENT_WEIGHT * (latency_s - self._recent_s)
        if self._recent_s < self._baseline_s:
            # The provider has become faster: the baseline falls more quickly than it rises.
            self._baseline_s += 5 * _BASELINE_WEIGHT * (self._recent_s - self._baseline_s)
        gradient = max(_MIN_GRADIENT, min(1.0, _TOLERANCE * self._baseline_s / max(self._recent_s, 1e-9)))
        if gradient == 1.0 and in_flight < self._limit / 2:
            return
        target = self._limit * gradient + math.sqrt(self._limit)
        self._set(self._limit + _SMOOTHING * (target - self._limit))

    def record_overload(self) -> None:
        """Decrease the limit: the provider reported overload or timed out."""
        self._set(self._limit * _BACKOFF)

    def _set(self, limit: float) -> None:
        self._limit = max(self._minimum, min(self._maximum, limit))

"""A token bucket: so many at once, so many in the long run."""

from __future__ import annotations


class TokenBucket:
    """Limits how often something may happen. Times in seconds, given by the caller."""

    def __init__(self, *, rate_per_s: float, burst: int, now: float) -> None:
        """Start full."""
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate_per_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

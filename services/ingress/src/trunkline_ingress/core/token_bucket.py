"""Token bucket rate limiter."""

from __future__ import annotations


class TokenBucket:
    """Rate limiter with a burst. Times are seconds of a monotonic clock, passed in by the caller."""

    def __init__(self, *, rate_per_s: float, burst: int, now: float) -> None:
        """Start with a full bucket of `burst` tokens."""
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._refilled_at = now

    def take(self, now: float) -> bool:
        """Take one token; return False if the bucket is empty."""
        self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._rate_per_s)
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

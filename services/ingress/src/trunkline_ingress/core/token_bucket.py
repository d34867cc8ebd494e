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

    def wait_s(self, now: float) -> float:
        """Return the seconds until a token is available, 0 if one is."""
        self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._rate_per_s)
        self._refilled_at = now
        return max(0.0, (1 - self._tokens) / self._rate_per_s)

    def take(self, now: float) -> bool:
        """Take one token; return False if the bucket is empty."""
        if self.wait_s(now) > 0:
            return False
        self._tokens -= 1
        return True

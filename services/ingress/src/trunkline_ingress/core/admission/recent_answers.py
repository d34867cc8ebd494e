"""Statistics of the turns that have just been answered or begun: rates, overhead, and time outside.

Times are seconds of a monotonic clock, passed in by the caller.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

BUCKET_S: Final = 0.1
_MAX_AGE_S: Final = 10.0
_RATE_AGE_S: Final = 1.0
_MIN_ANSWERS: Final = 20
"""A rate is taken over the last second, and over up to ten with fewer answers."""
_DELAY_AGE_S: Final = 2.0
_MIN_MEASURED: Final = 10
"""The overhead is that of the last ten answers, or those of two seconds."""


@dataclass(frozen=True, slots=True)
class AnsweredTurn:
    """A turn that has ended."""

    accepted_at: float
    overhead_s: float | None
    """Response time less the time outside; None if it shows nothing about queues, such as an apology."""
    outside_s: float
    """Time of models, tools and consulted agents."""


@dataclass(slots=True)
class _Bucket:
    begun_at: float
    answers: int = 0
    outside_s: float = 0.0
    measured: int = 0
    overhead_s: float = 0.0
    starts: int = 0
    start_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TurnFlow:
    """Turns of the last seconds."""

    answers: int = 0
    rate: float = 0.0
    """Answers per second."""
    starts: int = 0
    start_rate: float = 0.0
    """Turns per second whose text has begun."""
    start_age_s: float = 0.0
    """Mean time from acceptance to the first text."""
    outside: float = 0.0
    """Mean number of turns outside, by Little's law."""
    response_s: float = 0.0
    """Mean time from acceptance to answer."""


class RecentAnswers:
    """Answers of the last ten seconds in buckets of a tenth of a second."""

    def __init__(self) -> None:
        """Start without answers."""
        self._buckets: deque[_Bucket] = deque()
        self._measured_since = float("-inf")

    def record(self, turn: AnsweredTurn, now: float, *, max_overhead_s: float) -> None:
        """Add an answer; its overhead counts up to `max_overhead_s`, so that one turn alone is no queue."""
        bucket = self._bucket(now)
        bucket.answers += 1
        bucket.outside_s += turn.outside_s
        if turn.overhead_s is not None and turn.accepted_at >= self._measured_since:
            bucket.measured += 1
            bucket.overhead_s += min(turn.overhead_s, max_overhead_s)

    def record_start(self, age_s: float, now: float) -> None:
        """Add a turn whose first text has arrived, some time after it was accepted."""
        bucket = self._bucket(now)
        bucket.starts += 1
        bucket.start_age_s += age_s

    def _bucket(self, now: float) -> _Bucket:
        if not self._buckets or now - self._buckets[-1].begun_at >= BUCKET_S:
            self._buckets.append(_Bucket(now))
            while now - self._buckets[0].begun_at > _MAX_AGE_S:
                self._buckets.popleft()
        return self._buckets[-1]

    def measure_since(self, now: float) -> None:
        """Leave the overhead of turns out that were accepted before: they show the effect of an earlier limit."""
        self._measured_since = now
        for bucket in self._buckets:
            bucket.measured, bucket.overhead_s = 0, 0.0

    def overhead_s(self, now: float) -> float | None:
        """Return the mean overhead of the last ten answers, None without answers that count."""
        overhead_s, measured = 0.0, 0
        for bucket in reversed(self._buckets):
            if measured >= _MIN_MEASURED or now - bucket.begun_at > _DELAY_AGE_S:
                break
            overhead_s += bucket.overhead_s
            measured += bucket.measured
        return overhead_s / measured if measured else None

    def flow(self, now: float) -> TurnFlow:
        """Return rates and times of the last turns; the time since the first of them counts, not idle time before."""
        sums = _Bucket(now)
        for bucket in reversed(self._buckets):
            age_s = now - bucket.begun_at
            if age_s > _MAX_AGE_S or (age_s > _RATE_AGE_S and sums.answers >= _MIN_ANSWERS):
                break
            sums = _Bucket(
                bucket.begun_at,
                sums.answers + bucket.answers,
                sums.outside_s + bucket.outside_s,
                sums.measured + bucket.measured,
                sums.overhead_s + bucket.overhead_s,
                sums.starts + bucket.starts,
                sums.start_age_s + bucket.start_age_s,
            )
        span_s = max(BUCKET_S, now - sums.begun_at)
        overhead_s = sums.overhead_s / max(1, sums.measured)
        return TurnFlow(
            answers=sums.answers,
            rate=sums.answers / span_s,
            starts=sums.starts,
            start_rate=sums.starts / span_s,
            start_age_s=sums.start_age_s / max(1, sums.starts),
            outside=sums.outside_s / span_s,
            response_s=sums.outside_s / max(1, sums.answers) + overhead_s,
        )

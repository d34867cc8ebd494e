"""Limit of the turns that may wait, adapted to the age at which turns leave the queue (ADR 0041).

Overload is a mean queueing time above a target, as in DAGOR (Zhou et al., "Overload Control for Scaling WeChat
Microservices", SoCC 2018), and only if it lasts, as in CoDel (RFC 8289). The limit then follows from the measured rate
of answers by Little's law, as in the automatic concurrency limiter of Apache bRPC; if that does not suffice it falls,
else it rises, at most once per response time (AIMD, as of TCP and of Netflix' concurrency-limits). In contrast to
these, time at a model or tool is no part of the measured time.

Times are seconds of a monotonic clock, passed in by the caller.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from trunkline_ingress.core.admission.recent_answers import BUCKET_S, AnsweredTurn, RecentAnswers, TurnFlow

_SUSTAINED_S: Final = 1.0
"""A queue that lasts for less is a peak, unless it is long and still growing."""
_LONG_QUEUE: Final = 0.33
"""Share of the burst from which a queue is long."""
_TREND_UPDATES: Final = 3
"""Updates over which a queue grows."""
_GROWTH: Final = 0.03
"""Share of the burst by which it grows each time."""
_HOPELESS: Final = 2.0
"""Multiple of the target that a queue takes to end at its rate."""
_MIN_STARTS: Final = 10
_MAX_START_AGE_S: Final = 1.0
_CALM_S: Final = 3.0
"""Time without a refusal after which the limit opens."""
_DOUBLING_S: Final = 0.5
"""Interval at which it doubles then."""
_MIN_WAITING: Final = 8
"""Turns of the suite that may always wait."""
_DECREASE: Final = 0.8
_INCREASE: Final = 1.1
_WORTHWHILE: Final = 0.8
"""Share of the target below which the limit rises."""
_MAX_OVERHEAD_FACTOR: Final = 4.0
_MIN_WORK_AGE_S: Final = 1.0
"""Reported work that is younger may have been picked up since the heartbeat."""
_HEARTBEATS_S: Final = 2.0
"""Time until heartbeats show the effect of a lower limit."""


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """Bounds of the queue."""

    target_s: float = 0.3
    """Mean time that a turn may take in addition to models and tools."""
    burst: int = 300
    """Turns of the suite that may wait while no queue is measured."""
    is_enabled: bool = True
    """If false, every turn is admitted."""


@dataclass(frozen=True, slots=True)
class SuiteLoad:
    """Figures in the heartbeats of the other processes."""

    ingresses: int = 1
    """Live ingresses, this one included."""
    in_flight: int = 0
    """Turns in flight of the other ingresses."""
    outside: int | None = 0
    """Calls of gateways and agents at a provider or tool now; None if one of them does not report it."""
    work_age_s: float = 0.0
    """Age of the oldest work that waits for a permit of a gateway or of agents."""


@dataclass(slots=True)
class InFlight:
    """Turns in flight of this ingress."""

    total: int = 0
    started: int = 0
    """Those of which a text has arrived."""


class AdaptiveLimit:
    """Number of turns that may wait at one ingress, and its share of the turns outside."""

    def __init__(self, policy: AdmissionPolicy) -> None:
        """Start open."""
        self._policy = policy
        self._answers = RecentAnswers()
        self._limit: float | None = None
        """Turns that may wait; None if open."""
        self._is_confirmed = False
        """If true, answers show the queue, not heartbeats alone."""
        self._updated_at = self._raised_at = self._cut_at = self._refused_at = float("-inf")
        self._delayed_since = float("inf")
        self._delayed_queue = 0.0
        """Turns that waited then."""
        self._flow = TurnFlow()
        self._queue: deque[float] = deque(maxlen=_TREND_UPDATES + 1)
        """Turns that waited at the last updates."""

    @property
    def is_limited(self) -> bool:
        """Whether turns wait for too long."""
        return self._limit is not None

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self._flow.rate

    def record(self, turn: AnsweredTurn, now: float) -> None:
        """Record an answered turn."""
        self._answers.record(turn, now, max_overhead_s=_MAX_OVERHEAD_FACTOR * self._policy.target_s)

    def refused(self, now: float) -> None:
        """Record a refusal: the limit is in use."""
        self._refused_at = now

    def waiting(self, load: SuiteLoad) -> float:
        """Return the number of turns that may wait."""
        return self._limit if self._limit is not None else self._open_limit(load)

    def record_start(self, age_s: float, now: float) -> None:
        """Record the first text of a turn."""
        self._answers.record_start(age_s, now)

    def outside(self, load: SuiteLoad, in_flight: InFlight) -> float:
        """Return the turns in flight that are at a model or tool: those with a text, or as heartbeats report."""
        share = (load.outside or 0) * in_flight.total / max(1, in_flight.total + load.in_flight)
        share = max(share, in_flight.started)
        if self._limit is None or not self._is_confirmed:
            return share
        # A gateway that cannot keep up holds a call for longer than the provider takes.
        confirmed = self._flow.outside * (1 + 2 / math.sqrt(max(1, self._flow.answers))) + 2
        return min(share, confirmed)

    def update(self, load: SuiteLoad, in_flight: InFlight, now: float) -> None:
        """Adapt the limit, at most ten times a second."""
        if now - self._updated_at < BUCKET_S:
            return
        self._updated_at = now
        self._flow = self._answers.flow(now)
        waiting = in_flight.total - self.outside(load, in_flight)
        self._queue.append(waiting)
        # A full burst does not grow: turns are refused already.
        is_full = self._limit is None and now - self._refused_at <= BUCKET_S
        is_long = is_full or (self._is_growing(load) and waiting >= self._burst(load) * _LONG_QUEUE)
        overhead_s = self._answers.overhead_s(now)
        is_confirmed = overhead_s is not None and overhead_s > self._policy.target_s
        if is_long and self._is_hopeless(waiting):
            self._cut(load, now, is_confirmed=is_confirmed)
        elif is_confirmed or self._is_work_old(load, now):
            if is_long or self._is_sustained(waiting, now):
                self._cut(load, now, is_confirmed=is_confirmed)
        else:
            self._delayed_since = float("inf")
            if self._limit is not None:
                self._relax(load, overhead_s, now)

    def _is_sustained(self, waiting: float, now: float) -> bool:
        """Return whether turns have been late for a while in which the queue has not become shorter."""
        if now - self._delayed_since < _SUSTAINED_S and self._delayed_since <= now:
            return False
        is_sustained = self._delayed_since <= now and waiting >= self._delayed_queue
        self._delayed_since, self._delayed_queue = now, waiting
        return is_sustained

    def _is_growing(self, load: SuiteLoad) -> bool:
        """Return whether the queue has grown much with each of the last updates; a peak is over by then."""
        growth = self._burst(load) * _GROWTH
        return len(self._queue) > _TREND_UPDATES and all(b - a > growth for a, b in itertools.pairwise(self._queue))

    def _is_hopeless(self, waiting: float) -> bool:
        """Return whether the last of the waiting turns would begin too late at the rate at which turns begin now.

        Known only if texts begin soon: a model that thinks for seconds before its first word is no queue.
        """
        flow = self._flow
        if self._limit is not None or flow.starts < _MIN_STARTS or flow.start_age_s > _MAX_START_AGE_S:
            return False
        return waiting > _HOPELESS * self._policy.target_s * flow.start_rate

    def _cut(self, load: SuiteLoad, now: float, *, is_confirmed: bool) -> None:
        fitting = max(self._flow.rate, self._flow.start_rate) * self._policy.target_s
        if self._limit is not None:
            fitting = min(fitting, self._limit * _DECREASE)
        self._limit = max(fitting, min(_MIN_WAITING, self._policy.burst) / load.ingresses)
        self._is_confirmed = is_confirmed
        self._cut_at = now
        self._delayed_since = float("inf")
        self._answers.measure_since(now)

    def _relax(self, load: SuiteLoad, overhead_s: float | None, now: float) -> None:
        """Raise a limit that is in use and keeps the target, and one that is not in use until it is open."""
        limit = self._limit or 0.0
        is_kept = overhead_s is not None and overhead_s < _WORTHWHILE * self._policy.target_s
        if now - max(self._refused_at, self._cut_at) > _CALM_S:
            if now - self._raised_at < _DOUBLING_S:
                return
            limit *= 2
        elif is_kept and self._refused_at >= self._raised_at and self._is_effect_known(now):
            limit = max(limit * _INCREASE + 1, _WORTHWHILE * self._flow.rate * self._policy.target_s)
        else:
            return
        self._raised_at = now
        self._limit = limit if limit < self._open_limit(load) else None

    def _is_effect_known(self, now: float) -> bool:
        return now - max(self._raised_at, self._cut_at) >= max(BUCKET_S, self._flow.response_s)

    def _is_work_old(self, load: SuiteLoad, now: float) -> bool:
        oldest_s = max(_MIN_WORK_AGE_S, self._policy.target_s)
        return load.work_age_s > oldest_s and now - self._cut_at > _HEARTBEATS_S

    def _open_limit(self, load: SuiteLoad) -> float:
        return max(self._burst(load), 2 * self._flow.rate * self._policy.target_s)

    def _burst(self, load: SuiteLoad) -> float:
        return self._policy.burst / load.ingresses

"""Autoscaling: one process more if work has been queued for a while, one less if the load has been low for longer.

Hysteresis in both dimensions: the load that removes a process is far below the load that adds one, and has to last
longer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

MAX_AGE_S: Final = 1.0
"""Work queued for longer is overload, even if the queue is short."""
LOW_LOAD_RATIO: Final = 0.25
"""Load is low if the queue is at most this share of the threshold of a pool with one process less."""


@dataclass(frozen=True, slots=True)
class ScalingLimits:
    """Bounds of a pool. Times in seconds, `queue_threshold` in queued items per process."""

    min_processes: int
    max_processes: int
    queue_threshold: int
    grow_after_s: float
    shrink_after_s: float


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """Queued work of a pool: the number of items, and the age of the oldest in seconds."""

    depth: int
    age_s: float = 0.0
    is_refused: bool = False
    """If true, ingresses refuse turns although processors are idle: their queues stay short, but more is offered."""


@dataclass(frozen=True, slots=True)
class PoolScale:
    """The size of a pool, and since when its load has been high or low."""

    size: int
    high_since: float | None = None
    low_since: float | None = None


def next_scale(scale: PoolScale, load: PoolLoad, limits: ScalingLimits, now: float) -> PoolScale:
    """Return the scale after one measurement; its size differs by at most one unless the limits have changed."""
    size = min(max(scale.size, limits.min_processes), limits.max_processes)
    if size != scale.size:
        return PoolScale(size)
    if load.is_refused or load.depth > limits.queue_threshold * size or load.age_s > MAX_AGE_S:
        since = now if scale.high_since is None else scale.high_since
        if size < limits.max_processes and now - since >= limits.grow_after_s:
            return PoolScale(size + 1)
        return replace(scale, high_since=since, low_since=None)
    is_low = load.depth <= LOW_LOAD_RATIO * limits.queue_threshold * (size - 1)
    if is_low and load.age_s <= LOW_LOAD_RATIO * MAX_AGE_S:
        since = now if scale.low_since is None else scale.low_since
        if size > limits.min_processes and now - since >= limits.shrink_after_s:
            return PoolScale(size - 1)
        return replace(scale, high_since=None, low_since=since)
    return replace(scale, high_since=None, low_since=None)

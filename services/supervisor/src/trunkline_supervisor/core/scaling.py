"""How many processes a pool has: one more when work has waited for a while, one less after a long calm.

Hysteresis on both axes: the calm that lets a process go is far below the pressure that asks for one, and lasts longer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

OLD_S: Final = 1.0
"""Work that has waited so long is pressure, however little there is."""
CALM_SHARE: Final = 0.25
"""Calm: what is left after one process has gone is at most this share of what would be pressure."""


@dataclass(frozen=True, slots=True)
class ScalingLimits:
    """What a pool may do. Times in seconds, `queue_threshold` in pieces of work a process."""

    min_processes: int
    max_processes: int
    queue_threshold: int
    grow_after_s: float
    shrink_after_s: float


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """What waits: all pieces of work of the pool together, and the age of the oldest."""

    depth: int
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolScale:
    """A pool's size, and since when it has been under pressure or calm."""

    size: int
    pressed_since: float | None = None
    calm_since: float | None = None


def step(scale: PoolScale, load: PoolLoad, limits: ScalingLimits, now: float) -> PoolScale:
    """Look once: returns the new scale, whose size differs by one at the most."""
    size = min(max(scale.size, limits.min_processes), limits.max_processes)
    if size != scale.size:
        return PoolScale(size)
    if load.depth > limits.queue_threshold * size or load.age_s > OLD_S:
        since = now if scale.pressed_since is None else scale.pressed_since
        if size < limits.max_processes and now - since >= limits.grow_after_s:
            return PoolScale(size + 1)
        return replace(scale, pressed_since=since, calm_since=None)
    if load.depth <= CALM_SHARE * limits.queue_threshold * (size - 1) and load.age_s <= CALM_SHARE * OLD_S:
        since = now if scale.calm_since is None else scale.calm_since
        if size > limits.min_processes and now - since >= limits.shrink_after_s:
            return PoolScale(size - 1)
        return replace(scale, pressed_since=None, calm_since=since)
    return replace(scale, pressed_since=None, calm_since=None)

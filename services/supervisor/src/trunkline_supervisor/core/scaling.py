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
class Limits:
    """What a pool may do. Times in seconds, `deep` in pieces of work a process."""

    least: int
    most: int
    deep: int
    grow_after_s: float
    shrink_after_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """What waits: all pieces of work of the pool together, and the age of the oldest."""

    depth: int
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scale:
    """A pool's size, and since when it has been under pressure or calm."""

    size: int
    pressed_since: float | None = None
    calm_since: float | None = None


def step(scale: Scale, load: Load, limits: Limits, now: float) -> Scale:
    """Look once: returns the new scale, whose size differs by one at the most."""
    size = min(max(scale.size, limits.least), limits.most)
    if size != scale.size:
        return Scale(size)
    if load.depth > limits.deep * size or load.age_s > OLD_S:
        since = now if scale.pressed_since is None else scale.pressed_since
        if size < limits.most and now - since >= limits.grow_after_s:
            return Scale(size + 1)
        return replace(scale, pressed_since=since, calm_since=None)
    if load.depth <= CALM_SHARE * limits.deep * (size - 1) and load.age_s <= CALM_SHARE * OLD_S:
        since = now if scale.calm_since is None else scale.calm_since
        if size > limits.least and now - since >= limits.shrink_after_s:
            return Scale(size - 1)
        return replace(scale, pressed_since=None, calm_since=since)
    return replace(scale, pressed_since=None, calm_since=None)

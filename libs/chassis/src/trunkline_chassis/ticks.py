"""Periodic tasks at common moments: what is due at the same interval wakes a process once, not once per task.

Moments are multiples of the interval on the monotonic clock of the host. Processes of a host share them too, so that
the heartbeats of a second arrive together and a process reads them in one wake-up.
"""

from __future__ import annotations

import asyncio
from typing import Final

_MIN_SHARE: Final = 0.01
"""A tick that is nearer than this share of the interval is the one that has just woken the caller."""


async def next_tick(interval_s: float) -> None:
    """Sleep until the next multiple of `interval_s` seconds on the loop's clock, at most one interval away."""
    await asyncio.sleep(until_next_tick(asyncio.get_running_loop().time(), interval_s))


def until_next_tick(now: float, interval_s: float) -> float:
    """Return the seconds from `now` until the next multiple of `interval_s`, which is not the one of this moment."""
    left_s = interval_s - now % interval_s
    return left_s if left_s > _MIN_SHARE * interval_s else left_s + interval_s

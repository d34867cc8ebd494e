"""Periodic tasks wake a process together."""

from __future__ import annotations

import asyncio

from hypothesis import given, strategies as st
from trunkline_chassis.ticks import next_tick, until_next_tick


@given(st.floats(0.0, 1e7), st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0]))
def test_next_tick_is_a_later_multiple_of_the_interval(now: float, interval_s: float) -> None:
    """It is more than a hundredth and at most one and a hundredth of an interval away."""
    left_s = until_next_tick(now, interval_s)
    assert 0.01 * interval_s < left_s <= 1.01 * interval_s
    ticks = (now + left_s) / interval_s
    assert abs(ticks - round(ticks)) < 1e-6


async def test_tasks_of_an_interval_wake_together() -> None:
    """Tasks that begin at different times have their ticks in one turn of the loop."""
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    async def task(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await next_tick(0.25)
        moments.append(loop.time() // 0.25)

    start = loop.time()
    await asyncio.sleep(until_next_tick(start, 0.25))
    await asyncio.gather(task(0.0), task(0.03), task(0.06))
    assert len(set(moments)) == 1

"""What runs for as long as a process lives ends when it is told to, whatever happens at that very moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.notices import Notices
from trunkline_chassis.presence import Heartbeat, first_presence
from trunkline_protocols.ids import Instance

ME = Instance("conversation-9")


def heartbeat(bus: Bus) -> tuple[Coroutine[None, None, None], Callable[[], None]]:
    first = first_presence(service="conversation", instance=ME, node="n", version="1")
    beats = Heartbeat(bus, first, RecentLatency())
    return beats.run(), beats.beat_soon


def notices(bus: Bus) -> tuple[Coroutine[None, None, None], Callable[[], None]]:
    known = Notices(bus, region="local", service="conversation", instance=ME)
    return known.run(), known._reread


@pytest.mark.parametrize("make", [heartbeat, notices])
async def test_news_at_the_moment_of_the_end_does_not_keep_a_process_alive(
    bus: Bus, make: Callable[[Bus], tuple[Coroutine[None, None, None], Callable[[], None]]]
) -> None:
    """A process that has let its slots go says so, and ends in the same breath."""
    work, news = make(bus)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work)
        for _ in range(20):
            await asyncio.sleep(0)
        await bus.flush()
        news()
        running.cancel()
    assert running.cancelled()

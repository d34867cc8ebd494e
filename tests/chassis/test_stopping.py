"""What runs for as long as a process lives ends when it is told to, whatever happens at that very moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.cancellation import cancel_and_wait, propagate_cancellation
from trunkline_chassis.heartbeat import Heartbeat, initial_presence
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.notices import Notices
from trunkline_protocols.ids import Instance

ME = Instance("conversation-9")


def heartbeat(bus: Bus) -> tuple[Coroutine[None, None, None], Callable[[], None]]:
    first = initial_presence(service="conversation", instance=ME, node="n", version="1", http_url="")
    beats = Heartbeat(bus, first, RecentLatency())
    return beats.run(), beats.publish_soon


def notices(bus: Bus) -> tuple[Coroutine[None, None, None], Callable[[], None]]:
    known = Notices(bus, region="local", service="conversation", instance=ME)
    return known.run(), known._refresher.mark_stale


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


async def test_cancellation_that_a_library_swallows_is_repeated() -> None:
    """As `asyncio.wait_for` of Python 3.11 does when the result comes at the moment of the cancellation."""
    swallowed = asyncio.Event()

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await cancel_and_wait([task])
    assert swallowed.is_set()
    assert task.cancelled()


async def test_cancellation_that_meets_the_result_takes_effect_after_it() -> None:
    came = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(propagate_cancellation(asyncio.wait_for(came, 10)))
    await asyncio.sleep(0)
    came.set_result("result")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_done_after_a_cancellation_is_not_cancelled_again() -> None:
    """Such as a goodbye."""

    async def says_goodbye() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await propagate_cancellation(asyncio.sleep(0, "goodbye"))
        return ""

    task = asyncio.ensure_future(says_goodbye())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "goodbye"

"""Background tasks end when cancelled, even if an event arrives at the same moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.cancellation import cancel_and_wait, propagate_cancellation, run_in_thread
from trunkline_chassis.heartbeat import Heartbeat, initial_presence
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.notices import Notices
from trunkline_protocols.ids import Instance

INSTANCE = Instance("conversation-9")


def heartbeat(bus: Bus) -> tuple[Coroutine[None, None, None], Callable[[], None]]:
    first = initial_presence(service="conversation", instance=INSTANCE, node="n", version="1", http_url="")
    publisher = Heartbeat(bus, first, RecentLatency())
    return publisher.run(), publisher.publish_soon


def notices(bus: Bus) -> tuple[Coroutine[None, None, None], Callable[[], None]]:
    known = Notices(bus, region="local", service="conversation", instance=INSTANCE)
    return known.run(), known._refresher.mark_stale


@pytest.mark.parametrize("make", [heartbeat, notices])
async def test_event_at_the_moment_of_cancellation_does_not_keep_a_task_alive(
    bus: Bus, make: Callable[[Bus], tuple[Coroutine[None, None, None], Callable[[], None]]]
) -> None:
    """As when a draining process publishes its released slots and is cancelled at once."""
    work, trigger = make(bus)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work)
        for _ in range(20):
            await asyncio.sleep(0)
        await bus.flush()
        trigger()
        running.cancel()
    assert running.cancelled()


async def test_cancellation_that_a_library_swallows_is_repeated() -> None:
    """As `asyncio.wait_for` of Python 3.11 does if the result arrives together with the cancellation."""
    swallowed = asyncio.Event()

    async def swallow_first_cancellation() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(swallow_first_cancellation())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await cancel_and_wait([task])
    assert swallowed.is_set()
    assert task.cancelled()


async def test_cancellation_together_with_the_result_takes_effect_after_it() -> None:
    result = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(propagate_cancellation(asyncio.wait_for(result, 10)))
    await asyncio.sleep(0)
    result.set_result("value")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cleanup_after_a_cancellation_is_not_cancelled_again() -> None:
    """A cleanup that awaits runs to its end."""

    async def clean_up() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await propagate_cancellation(asyncio.sleep(0, "cleaned up"))
        return ""

    task = asyncio.ensure_future(clean_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned up"


async def test_cancellation_of_work_in_a_thread_is_raised_after_its_end() -> None:
    """The work receives a request to end early; its error is the cause. Without a cancellation it is raised itself."""
    stop, ended = threading.Event(), threading.Event()

    def work() -> None:
        assert stop.wait(30.0)
        ended.set()
        raise OSError("connection lost")

    running = asyncio.ensure_future(run_in_thread(work, on_cancel=stop.set))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await running
    assert ended.is_set()
    assert isinstance(cancelled.value.__cause__, OSError)
    with pytest.raises(OSError, match="lost"):
        await run_in_thread(work)
    assert await run_in_thread(lambda: 7) == 7

"""Waits that honour timeouts and cancellation.

`asyncio.wait_for` of Python 3.11, which libraries use, swallows a cancellation that arrives together with the result:
a task that is cancelled only once then keeps running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

T = TypeVar("T")

_RECANCEL_INTERVAL_S: Final = 0.5


async def wait_for_event(event: asyncio.Event, *, timeout_s: float) -> bool:
    """Wait for an event; return False if it is not set within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


async def propagate_cancellation(work: Awaitable[T]) -> T:
    """Await a library call, and raise `CancelledError` after it if the call swallowed a cancellation."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    result = await work
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


async def without_foreign_cancellation(work: Awaitable[object]) -> None:
    """Await a library call; a `CancelledError` that no cancellation of this task has caused ends it quietly."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        await work
    except asyncio.CancelledError:
        if task is not None and task.cancelling() > before:
            raise


async def run_in_thread(work: Callable[[], T], *, on_cancel: Callable[[], object] | None = None) -> T:
    """Run blocking work in a thread; a cancellation is raised after its end, unlike that of `asyncio.to_thread`.

    For work under a lock: a thread cannot be cancelled, and would go on after the lock is released. `on_cancel`
    requests an early end from the work. Raises its error, or `CancelledError` with that error as its cause.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled = False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            cancelled = True
            if on_cancel is not None:
                on_cancel()
    if cancelled:
        raise asyncio.CancelledError from running.exception()
    return running.result()


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end; repeat the cancellation every 0.5 s, as one may be swallowed."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_RECANCEL_INTERVAL_S)

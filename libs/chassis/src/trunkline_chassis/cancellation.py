"""Waiting for an event or for the end of tasks, and never for ever.

`asyncio.wait_for` of Python 3.11, which libraries use, swallows a cancellation that comes together with the result: a
task that was told to end once then lives on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, Final, TypeVar

T = TypeVar("T")

_CANCEL_AGAIN_S: Final = 0.5


async def wait_for_event(event: asyncio.Event, *, timeout_s: float) -> bool:
    """Wait for an event and say whether it came in time."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


async def propagate_cancellation(work: Awaitable[T]) -> T:
    """Wait for a library's work; a cancellation that it swallowed takes effect after it."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    result = await work
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel until they have ended, however often it takes."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)

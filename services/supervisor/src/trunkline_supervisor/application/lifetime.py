"""The lifetime of a suite: everything that was started ends in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from trunkline_chassis.cancellation import cancel_and_wait

T = TypeVar("T")


class Lifetime:
    """Registers the end of everything that a suite starts, on one exit stack and in one task group."""

    def __init__(self, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        """Take a stack that was entered after the task group: tasks end before the group waits for them."""
        self._stack = stack
        self._tasks = tasks

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine until the suite stops, then cancel it."""
        self._stack.push_async_callback(cancel_and_wait, [self._tasks.create_task(work)])

    def spawn_finite(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine that ends by itself; the suite waits for it."""
        self._tasks.create_task(work)

    def on_end(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call a function when the suite stops, before everything that was registered earlier ends."""
        self._stack.push_async_callback(callback)

    async def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter a context until the suite stops."""
        return await self._stack.enter_async_context(context)

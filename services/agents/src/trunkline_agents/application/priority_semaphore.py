"""Priority semaphore: bounds concurrent turns and admits the most urgent waiter first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from trunkline_chassis.clock import steady_time
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.core.priority import priority


class _Waiter(NamedTuple):
    request: AnswerTurn
    admitted: asyncio.Future[None]
    since: float


class PrioritySemaphore:
    """A fixed number of permits with waiters in order of priority."""

    def __init__(self, permits: int) -> None:
        """`permits` is the maximum number of concurrent turns."""
        self._free = permits
        self._waiters: list[_Waiter] = []

    @property
    def waiting(self) -> int:
        """Number of waiters."""
        return len(self._waiters)

    @property
    def oldest_wait_s(self) -> float:
        """Time for which the oldest waiter has waited, in seconds."""
        now = time.monotonic()
        return max((now - waiter.since for waiter in self._waiters), default=0.0)

    @asynccontextmanager
    async def permit(self, request: AnswerTurn) -> AsyncIterator[None]:
        """Acquire a permit and hold it while the block runs."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(request)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, request: AnswerTurn) -> None:
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(request, admitted, time.monotonic())
        self._waiters.append(waiter)
        try:
            await admitted
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not admitted.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        """Pass a permit to the waiter with the highest priority, if any."""
        if not self._waiters:
            self._free += 1
            return
        now = steady_time()
        waiter = max(self._waiters, key=lambda waiter: priority(waiter.request, now))
        self._waiters.remove(waiter)
        waiter.admitted.set_result(None)

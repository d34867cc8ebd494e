"""The hands of a process: at most so many turns at a time, and of those that wait the most pressing first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.core.priority import pressure


class PrioritySemaphore:
    """Gives places to work."""

    def __init__(self, places: int) -> None:
        """`places` turns are answered at the same time."""
        self._free = places
        self._waiting: list[tuple[AnswerTurn, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """How much work waits here."""
        return len(self._waiting)

    @asynccontextmanager
    async def at_work(self, request: AnswerTurn) -> AsyncIterator[None]:
        """Wait for a place and hold it while the block runs."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(request)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, request: AnswerTurn) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (request, place)
        self._waiting.append(entry)
        try:
            await place
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif not place.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a place that has become free to the most pressing work."""
        if not self._waiting:
            self._free += 1
            return
        now = time.time()
        entry = max(self._waiting, key=lambda waiting: pressure(waiting[0], now))
        self._waiting.remove(entry)
        entry[1].set_result(None)

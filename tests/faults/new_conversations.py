"""Load of new conversations: each begins at its time, has a few messages and stays open for an answer that is late."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from tests.faults.customers import Entry, ReconnectingCustomer

_MESSAGES: Final = 3
_MAX_OPEN: Final = 200
"""Beyond, no conversation begins: the suite does not keep up."""
_POLL_INTERVAL_S: Final = 0.05
_RESEND_INTERVAL_S: Final = 0.5


class NewConversations:
    """Customers who come at a rate, with a fixed sequence of texts."""

    def __init__(self, entry: Entry, texts: tuple[str, ...], rate: float) -> None:
        """`rate` is in conversations per second."""
        self._entry = entry
        self._texts = texts
        self._rate = rate
        self._rng = random.Random(1)  # noqa: S311 - load, not secrets
        self._stopping = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self.customers: list[ReconnectingCustomer] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let customers come until `drain`."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            arrivals = asyncio.create_task(self._arrive(session))
            try:
                yield
            finally:
                arrivals.cancel()
                for task in list(self._open):
                    task.cancel()
                await asyncio.gather(arrivals, *self._open, return_exceptions=True)

    async def drain(self, timeout_s: float) -> None:
        """Let no more come; wait until every message is answered, or raise `TimeoutError`."""
        self._stopping.set()
        async with asyncio.timeout(timeout_s):
            while self._open:
                await asyncio.sleep(_POLL_INTERVAL_S)

    async def _arrive(self, session: aiohttp.ClientSession) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(self._rng.expovariate(self._rate))
            if len(self._open) < _MAX_OPEN and not self._stopping.is_set():
                customer = ReconnectingCustomer(self._entry, len(self.customers), session)
                self.customers.append(customer)
                task = asyncio.create_task(self._converse(customer))
                self._open.add(task)
                task.add_done_callback(self._open.discard)

    async def _converse(self, customer: ReconnectingCustomer) -> None:
        socket = asyncio.create_task(customer.run())
        try:
            await customer.started.wait()
            for _ in range(_MESSAGES):
                now = time.monotonic()
                await customer.send_message(self._rng.choice(self._texts), now)
                resend_at = now + _RESEND_INTERVAL_S
                while customer.record.is_waiting:
                    await asyncio.sleep(_POLL_INTERVAL_S)
                    if time.monotonic() > resend_at:
                        await customer.resend_unacknowledged()
                        resend_at = time.monotonic() + _RESEND_INTERVAL_S
        finally:
            socket.cancel()
            await asyncio.gather(socket, return_exceptions=True)

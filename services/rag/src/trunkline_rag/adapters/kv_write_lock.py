"""Whose turn it is to write, among several processes of one Milvus server.

Milvus knows neither locks nor fences, so the processes of one server agree in KV KNOWLEDGE:

turn       who writes now; the holder says again and again that it lives, and one that falls silent is overtaken
changed    one more with everything that was written: the others read anew what they hold in memory
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.errors import BusError, BusUnavailableError, FenceError
from trunkline_protocols.streams import KNOWLEDGE

_log: Final = structlog.get_logger(__name__)
_STREAM: Final = f"KV_{KNOWLEDGE.name}"
_TURN: Final = f"$KV.{KNOWLEDGE.name}.turn"
_CHANGED: Final = f"$KV.{KNOWLEDGE.name}.changed"
_SILENCE_S: Final = 10.0
_SIGNS: Final = 5
"""A holder says so many times that it lives before its silence is believed."""
_LONGEST_WAIT_S: Final = 110.0
"""Whoever ordered the import waits for two minutes."""
_LOOK_AGAIN_S: Final = 0.1
_REFRESH_S: Final = 30.0


class _Holder(msgspec.Struct, frozen=True):
    """Who writes; nobody where the name is empty."""

    instance: str
    at: float


class _Change(msgspec.Struct, frozen=True):
    """What was written is complete, or more of the same job follows."""

    settled: bool


_decode_holder: Final = msgspec.json.Decoder(_Holder).decode
_decode_change: Final = msgspec.json.Decoder(_Change).decode


class KvWriteLock:
    """Several processes write to one server: one job at a time, among all of them.

    A holder that was silent too long is overtaken, and its job ends with an error when it comes to itself. The batch
    that it is writing at that moment cannot be called back.
    """

    are_shared: Final = True

    def __init__(self, bus: Bus, instance: str, *, silence_s: float = _SILENCE_S) -> None:
        """`instance` is stable over restarts: a process goes on at once where it has died."""
        self._bus = bus
        self._instance = instance
        self._silence_s = silence_s
        self._seq = 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for the jobs of others; raise `BusUnavailableError` when that takes too long, or the turn is lost."""
        await self._take()
        limit = asyncio.timeout(None)
        signs = asyncio.ensure_future(self._give_signs(limit))
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise BusUnavailableError("another process has taken over the writing") from error
        finally:
            signs.cancel()
            with contextlib.suppress(BusError):
                await self._write("")

    async def version(self) -> int:
        """Count what was written."""
        last = await self._bus.last_message(_STREAM, _CHANGED)
        return last.seq if last is not None else 0

    async def announce(self, *, settled: bool) -> int:
        """Tell the others that something was written."""
        change = msgspec.json.encode(_Change(settled))
        stored = await self._bus.append(_CHANGED, change, message_id=f"{self._instance}-{time.time_ns()}")
        return stored.seq

    async def follow(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Call back when a job is complete, and now and then, as a notice may be lost; until cancelled."""
        heard = asyncio.Event()

        async def on_message(message: Msg) -> None:
            with contextlib.suppress(msgspec.DecodeError):
                if _decode_change(message.data).settled:
                    heard.set()

        await self._bus.subscribe(_CHANGED, on_message)
        self._bus.on_reconnect.append(heard.set)
        while True:
            try:
                await on_change()
            except BusError as error:
                _log.warning("turns.unread", error=str(error))
            await wait_for_event(heard, timeout_s=_REFRESH_S)
            heard.clear()

    # -- the turn ---

    async def _take(self) -> None:
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + _LONGEST_WAIT_S
        seen, seen_at = -1, clock()
        while True:
            last = await self._bus.last_message(_STREAM, _TURN)
            self._seq = last.seq if last is not None else 0
            holder = _decode_holder(last.payload).instance if last is not None else ""
            if self._seq != seen:
                seen, seen_at = self._seq, clock()
            if holder in {"", self._instance} or clock() - seen_at > self._silence_s:
                try:
                    await self._write(self._instance)
                except FenceError:
                    continue
                return
            if clock() > give_up_at:
                raise BusUnavailableError(f"{holder} has been writing the knowledge base for {_LONGEST_WAIT_S:g} s")
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _give_signs(self, limit: asyncio.Timeout) -> None:
        while True:
            await asyncio.sleep(self._silence_s / _SIGNS)
            try:
                await self._write(self._instance)
            except FenceError:
                limit.reschedule(asyncio.get_running_loop().time())
                return

    async def _write(self, instance: str) -> None:
        """Store who holds the turn, behind what was known of it."""
        at = time.time()
        stored = await self._bus.append(
            _TURN,
            msgspec.json.encode(_Holder(instance, at)),
            message_id=f"{self._instance}-{self._seq}-{at:.6f}",
            fence=(_TURN, self._seq),
        )
        self._seq = stored.seq

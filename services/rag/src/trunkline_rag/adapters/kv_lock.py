"""A lock of several processes on a key of KV KNOWLEDGE, whose value names its holder.

The holder rewrites the key as a heartbeat; if it stops, another process takes the lock over. Every write of the key is
fenced by the previous one. Durations are measured by each process' own steady clock.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError, BusUnavailableError, FenceError
from trunkline_protocols import codec
from trunkline_protocols.streams import KNOWLEDGE

_STREAM: Final = f"KV_{KNOWLEDGE.name}"
_HEARTBEATS_PER_TIMEOUT: Final = 5
_UNKNOWN_HOLDER: Final = "an unknown process"


class Holder(msgspec.Struct, frozen=True):
    """Value of the key; an empty `instance` means that the lock is free."""

    instance: str
    at: float
    is_clean: bool = True
    """What the holder wrote under the lock is complete; false from an unclean end on until the next clean one."""

    @property
    def is_released(self) -> bool:
        """The lock is free, and everything that was written under it is published."""
        return not self.instance and self.is_clean


NO_HOLDER: Final = Holder("", 0.0)
"""Of a lock that was never held."""


_decode_holder: Final = codec.Decoder[Holder](Holder).decode


class KvLock:
    """A lock with heartbeats: at most one process holds it at a time.

    If the lock of a holder that was only slow is taken over, its block ends with an error when it resumes.
    """

    def __init__(
        self,
        bus: Bus,
        instance: str,
        key: str,
        *,
        heartbeat_timeout_s: float,
        acquire_timeout_s: float = math.inf,
        poll_interval_s: float = 0.1,
    ) -> None:
        """`instance` is stable across restarts: a restarted process acquires its own lock at once."""
        self._bus = bus
        self._instance = instance
        self._key = f"$KV.{KNOWLEDGE.name}.{key}"
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._acquire_timeout_s = acquire_timeout_s
        self._poll_interval_s = poll_interval_s
        self._seq = 0
        self.is_clean = True
        """The holder's `is_clean` from the next write on; `acquire` inherits it, but not from another holder."""

    async def acquire(self, *, takes_free: bool = True) -> Holder:
        """Wait until the lock is free, is this instance's own, or its holder's heartbeats time out; take it.

        Returns the holder before. Not `takes_free`: a lock that no process has ever held is left to others. Raises
        `BusUnavailableError` after the timeout. No heartbeats follow, see `kept`.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._acquire_timeout_s
        last_seq, last_heartbeat_at = -1, clock()
        while True:
            last = await self._bus.last_message(_STREAM, self._key)
            self._seq = last.seq if last is not None else 0
            holder = _read_holder(last.payload) if last is not None else NO_HOLDER
            if self._seq != last_seq:
                last_seq, last_heartbeat_at = self._seq, clock()
            is_expired = clock() - last_heartbeat_at > self._heartbeat_timeout_s
            is_left = holder == NO_HOLDER and not takes_free
            if not is_left and (holder.instance in {"", self._instance} or is_expired):
                self.is_clean = holder.is_clean and holder.instance in {"", self._instance}
                try:
                    await self.write(self._instance)
                except FenceError:
                    continue
                return holder
            if clock() > deadline:
                raise BusUnavailableError(f"{holder.instance} has held the lock for {self._acquire_timeout_s:g} s")
            await asyncio.sleep(self._poll_interval_s)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Send heartbeats during the block; raises `BusUnavailableError` if the lock is lost during it."""
        loss = asyncio.timeout(None)
        heartbeats = asyncio.ensure_future(self._send_heartbeats(loss))
        try:
            async with loss:
                yield
        except TimeoutError as error:
            if not loss.expired():
                raise
            raise BusUnavailableError("the lock was taken over by another process") from error
        finally:
            heartbeats.cancel()

    async def _send_heartbeats(self, loss: asyncio.Timeout) -> None:
        clock = asyncio.get_running_loop().time
        last_heartbeat_at = clock()
        while True:
            await asyncio.sleep(self._heartbeat_timeout_s / _HEARTBEATS_PER_TIMEOUT)
            try:
                await self.write(self._instance)
                last_heartbeat_at = clock()
            except FenceError:
                loss.reschedule(clock())
                return
            except BusError:
                # Another process takes the lock over after this time.
                if clock() - last_heartbeat_at > self._heartbeat_timeout_s:
                    loss.reschedule(clock())
                    return

    async def write(self, instance: str) -> None:
        """Write the holder, fenced by the last value that was read or written; raises `FenceError`."""
        at = time.time()
        stored = await self._bus.append(
            self._key,
            msgspec.json.encode(Holder(instance, at, self.is_clean)),
            message_id=f"{self._instance}-{self._seq}-{at:.6f}",
            fence=(self._key, self._seq),
        )
        self._seq = stored.seq


def _read_holder(payload: bytes) -> Holder:
    """Return the holder, an unknown one if the value cannot be decoded: its lock expires without heartbeats."""
    try:
        return _decode_holder(payload)
    except codec.DecodeError:
        return Holder(_UNKNOWN_HOLDER, 0.0)

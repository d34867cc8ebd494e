"""Write lock of several processes that share one Milvus server, on key `turn` of KV KNOWLEDGE.

Milvus has neither locks nor fencing, so the lock is a key whose value names its holder. The holder rewrites it as a
heartbeat; if it stops, another process takes the lock over. Every write of the key is fenced by the previous one.
"""

from __future__ import annotations

import asyncio
import contextlib
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
_LOCK: Final = f"$KV.{KNOWLEDGE.name}.turn"
_HEARTBEAT_TIMEOUT_S: Final = 10.0
_HEARTBEATS_PER_TIMEOUT: Final = 5
_ACQUIRE_TIMEOUT_S: Final = 110.0
"""Shorter than the two minutes that the requester of an import waits."""
_POLL_INTERVAL_S: Final = 0.1
_UNKNOWN_HOLDER: Final = "an unknown process"


class _Holder(msgspec.Struct, frozen=True):
    """Value of the key; an empty `instance` means that the lock is free."""

    instance: str
    at: float
    is_clean: bool = True
    """If false (and the lock is free), the last write was interrupted, and some of it may be stored unpublished."""

    @property
    def is_released(self) -> bool:
        """The lock is free, and everything that was written under it is published."""
        return not self.instance and self.is_clean


_FREE: Final = _Holder("", 0.0)
"""A lock that was never held."""


_decode_holder: Final = codec.Decoder[_Holder](_Holder).decode


class KvWriteLock:
    """A lock with heartbeats: at most one process writes at a time.

    If the lock of a holder that was only slow is taken over, its block ends with an error when it resumes; the batch
    that it is writing at that moment cannot be undone.
    """

    is_shared: Final = True

    def __init__(self, bus: Bus, instance: str, *, heartbeat_timeout_s: float = _HEARTBEAT_TIMEOUT_S) -> None:
        """`instance` is stable across restarts: a restarted process acquires its own lock at once."""
        self._bus = bus
        self._instance = instance
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._seq = 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        """Acquire, send heartbeats during the block, release; yield whether the last holder has finished its write.

        Raises `BusUnavailableError` if acquiring times out or the lock is lost during the block.
        """
        was_clean, is_clean = await self.acquire(), False
        loss = asyncio.timeout(None)
        heartbeats = asyncio.ensure_future(self._send_heartbeats(loss))
        try:
            async with loss:
                yield was_clean
            is_clean = True
        except TimeoutError as error:
            if not loss.expired():
                raise
            raise BusUnavailableError("the write lock was taken over by another process") from error
        finally:
            heartbeats.cancel()
            with contextlib.suppress(BusError):
                await self.release(is_clean=is_clean)

    async def acquire(self) -> bool:
        """Wait until the lock is free, is this instance's own, or its holder's heartbeats time out; take it.

        Returns whether the last holder has released it after a complete write. Without `held` no heartbeats follow.
        Raises `BusUnavailableError` after 110 s.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + _ACQUIRE_TIMEOUT_S
        last_seq, last_heartbeat_at = -1, clock()
        while True:
            last = await self._bus.last_message(_STREAM, _LOCK)
            self._seq = last.seq if last is not None else 0
            holder = _read_holder(last.payload) if last is not None else _FREE
            if self._seq != last_seq:
                last_seq, last_heartbeat_at = self._seq, clock()
            if holder.instance in {"", self._instance} or clock() - last_heartbeat_at > self._heartbeat_timeout_s:
                try:
                    await self._write(self._instance)
                except FenceError:
                    continue
                return holder.is_released
            if clock() > deadline:
                raise BusUnavailableError(f"{holder.instance} has held the write lock for {_ACQUIRE_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_INTERVAL_S)

    async def release(self, *, is_clean: bool = True) -> None:
        """Free the lock, `is_clean` after a complete write; raise `FenceError` if another process has taken it over."""
        await self._write("", is_clean=is_clean)

    async def _send_heartbeats(self, loss: asyncio.Timeout) -> None:
        clock = asyncio.get_running_loop().time
        last_heartbeat_at = clock()
        while True:
            await asyncio.sleep(self._heartbeat_timeout_s / _HEARTBEATS_PER_TIMEOUT)
            try:
                await self._write(self._instance)
                last_heartbeat_at = clock()
            except FenceError:
                loss.reschedule(clock())
                return
            except BusError:
                # Another process takes the lock over after this time.
                if clock() - last_heartbeat_at > self._heartbeat_timeout_s:
                    loss.reschedule(clock())
                    return

    async def _write(self, instance: str, *, is_clean: bool = True) -> None:
        """Write the holder, fenced by the last value that was read or written."""
        at = time.time()
        stored = await self._bus.append(
            _LOCK,
            msgspec.json.encode(_Holder(instance, at, is_clean)),
            message_id=f"{self._instance}-{self._seq}-{at:.6f}",
            fence=(_LOCK, self._seq),
        )
        self._seq = stored.seq


def _read_holder(payload: bytes) -> _Holder:
    """Return the holder, an unknown one if the value cannot be decoded: its lock expires without heartbeats."""
    try:
        return _decode_holder(payload)
    except codec.DecodeError:
        return _Holder(_UNKNOWN_HOLDER, 0.0)

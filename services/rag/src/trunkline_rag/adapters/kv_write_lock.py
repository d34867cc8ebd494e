"""Write lock of several processes that share one Milvus server, which has neither locks nor fencing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError

from trunkline_rag.adapters.kv_lock import KvLock

_KEY: Final = "turn"
_HEARTBEAT_TIMEOUT_S: Final = 10.0
_ACQUIRE_TIMEOUT_S: Final = 110.0
"""Shorter than the two minutes that the requester of an import waits."""


class KvWriteLock:
    """At most one process writes at a time.

    If the lock of a writer that was only slow is taken over, the batch that it is writing at that moment cannot be
    undone.
    """

    is_shared: Final = True

    def __init__(self, bus: Bus, instance: str, *, heartbeat_timeout_s: float = _HEARTBEAT_TIMEOUT_S) -> None:
        """`instance` is stable across restarts: a restarted process acquires its own lock at once."""
        self._lock = KvLock(
            bus, instance, _KEY, heartbeat_timeout_s=heartbeat_timeout_s, acquire_timeout_s=_ACQUIRE_TIMEOUT_S
        )

    @asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        """Acquire, send heartbeats during the block, release; yield whether the last holder has finished its write.

        Raises `BusUnavailableError` if acquiring times out or the lock is lost during the block.
        """
        was_clean, is_clean = await self.acquire(), False
        try:
            async with self._lock.kept():
                yield was_clean
            is_clean = True
        finally:
            with contextlib.suppress(BusError):
                await self.release(is_clean=is_clean)

    async def acquire(self) -> bool:
        """Acquire the lock; return whether the last holder has released it after a complete write."""
        return (await self._lock.acquire()).is_released

    async def release(self, *, is_clean: bool = True) -> None:
        """Free the lock, `is_clean` after a complete write; raise `FenceError` if another process has taken it over."""
        self._lock.is_clean = is_clean
        await self._lock.write("")

"""Lease of the one process that serves the knowledge base, among several with folders of their own (ADR 0048)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError

from trunkline_rag.adapters.kv_lock import KvLock

_KEY: Final = "place"
_ID_FILE: Final = "folder.id"
_POLL_INTERVAL_S: Final = 1.0


class KvLease:
    """A lease that is never released: after a restart, its holder serves on from its own folder."""

    def __init__(self, bus: Bus, holder: str, *, is_first: bool, timeout_s: float) -> None:
        """`holder` names the process and its folder: a host that was replaced by an empty one is another holder.

        `is_first`: the process takes a lease that was never held; others wait for the loss of a holder. That loss is
        `timeout_s` without a heartbeat: longer than an election of the bucket's leader, in which none is stored.
        """
        self._is_first = is_first
        self._lock = KvLock(bus, holder, _KEY, heartbeat_timeout_s=timeout_s, poll_interval_s=_POLL_INTERVAL_S)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        """Wait for the lease, send heartbeats during the block; yield whether the folder has the knowledge base.

        It has not after another process has served, until `confirm`. Raises `BusUnavailableError` if the lease is lost
        during the block.
        """
        await self._acquire()
        async with self._lock.kept():
            yield self._lock.is_clean

    def confirm(self) -> None:
        """Record that the folder has the knowledge base: after a restart it is not restored again."""
        self._lock.is_clean = True

    async def _acquire(self) -> None:
        while True:
            try:
                await self._lock.acquire(takes_free=self._is_first)
            except BusError:  # no leader of the bucket: the holder cannot write either
                await asyncio.sleep(_POLL_INTERVAL_S)
            else:
                return


def folder_id(folder: Path) -> str:
    """Return the name that a folder keeps, however often its process is restarted; an empty folder gets one."""
    file = folder / _ID_FILE
    with contextlib.suppress(FileNotFoundError):
        return file.read_text(encoding="ascii").strip()
    folder.mkdir(parents=True, exist_ok=True)
    drawn = file.with_suffix(".new")
    drawn.write_text(secrets.token_hex(8), encoding="ascii")
    drawn.replace(file)
    return folder_id(folder)

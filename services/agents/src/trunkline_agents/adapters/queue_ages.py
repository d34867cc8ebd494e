"""Age of queued work by the clock of the server that stores it."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError
from trunkline_protocols.decoding import DecodeError, convert
from trunkline_protocols.streams import WORK

_TIMEOUT_S: Final = 1.0
_INTERVAL_S: Final = 1.0
"""A measured difference, and a failure, count for this long: a server may change, and so may its clock."""


class JetStreamQueueAges:
    """Compares this process' monotonic clock with the leader of the work queue, whose clock dates the messages."""

    def __init__(self, bus: Bus) -> None:
        """`bus` is the connection of the process, whose account may read the state of the stream."""
        self._bus = bus
        self._lock = asyncio.Lock()
        self._measured_at = -_INTERVAL_S
        self._difference_s: float | None = None
        """Unix time of the server less the monotonic time of this process."""

    async def age_s(self, stored_at: float) -> float | None:
        """Return the seconds since the server stored a message, at least 0; None if the server does not answer."""
        async with self._lock:
            if time.monotonic() - self._measured_at >= _INTERVAL_S:
                self._difference_s = await self._measure()
                self._measured_at = time.monotonic()
        if self._difference_s is None:
            return None
        return max(0.0, time.monotonic() + self._difference_s - stored_at)

    async def _measure(self) -> float | None:
        try:
            info = await self._bus.api(f"STREAM.INFO.{WORK.name}", timeout_s=_TIMEOUT_S)
            return convert(info.get("ts"), datetime).timestamp() - time.monotonic()
        except (BusError, DecodeError):
            return None

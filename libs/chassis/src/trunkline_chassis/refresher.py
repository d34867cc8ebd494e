"""The follow loop: refresh a view of server state when it is marked stale, and periodically."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from trunkline_protocols import codec

from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_RETRY_DELAY_S: Final = 1.0


class Refresher:
    """Calls `refresh` after every change notification, after every reconnection and every `interval_s` seconds."""

    def __init__(
        self,
        bus: Bus,
        refresh: Callable[[], Awaitable[None]],
        *,
        name: str,
        interval_s: float,
        retry_delay_s: float = _RETRY_DELAY_S,
    ) -> None:
        """`name` prefixes the log event of a failed refresh, which is retried after `retry_delay_s` seconds."""
        self._refresh = refresh
        self._name = name
        self._interval_s = interval_s
        self._retry_delay_s = retry_delay_s
        self._stale = asyncio.Event()
        # Messages in transit when a connection breaks are lost.
        bus.on_reconnect.append(self.mark_stale)

    def mark_stale(self) -> None:
        """Refresh as soon as possible."""
        self._stale.set()

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            await wait_for_event(self._stale, timeout_s=self._interval_s)
            self._stale.clear()
            try:
                await self._refresh()
            except (BusError, codec.DecodeError) as error:
                _log.warning(f"{self._name}.refresh_failed", error=str(error))
                await asyncio.sleep(self._retry_delay_s)
                self._stale.set()

"""The current fleet from KV FLEET; a process without one serves too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog
from trunkline_chassis.fleet_store import SUBJECT, read_current_fleet
from trunkline_chassis.refresher import Refresher
from trunkline_protocols.fleet import Fleet

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_REFRESH_INTERVAL_S: Final = 30.0


class FleetFeed:
    """Hands every version of the fleet to `apply`."""

    def __init__(self, bus: Bus, apply: Callable[[Fleet], Awaitable[None]]) -> None:
        """`apply` is called with the current fleet and after every change."""
        self._bus = bus
        self._apply = apply
        self._version = 0
        self._refresher = Refresher(bus, self._refresh, name="fleet", interval_s=_REFRESH_INTERVAL_S)

    async def open(self) -> None:
        """Apply the current fleet, if there is one, and subscribe to changes."""
        await self._bus.subscribe(SUBJECT, self._on_message)
        await self._bus.flush()
        await self._refresh()

    async def run(self) -> None:
        """Follow new versions until cancelled."""
        await self._refresher.run()

    async def _refresh(self) -> None:
        latest = await read_current_fleet(self._bus)
        if latest is None or latest.version == self._version:
            return
        await self._apply(latest.fleet)
        self._version = latest.version
        _log.info("fleet.loaded", version=latest.version)

    async def _on_message(self, message: Msg) -> None:
        del message
        self._refresher.mark_stale()

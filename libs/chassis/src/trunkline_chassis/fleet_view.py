"""The current fleet of a process, kept up to date from KV FLEET."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from trunkline_protocols.streams import FLEET

from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.fleet_store import SUBJECT, FleetVersion, read_current_fleet
from trunkline_chassis.refresher import Refresher

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from trunkline_protocols.fleet import Fleet

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

_REFRESH_INTERVAL_S: Final = 30.0
_POLL_INTERVAL_S: Final = 0.2


class FleetView:
    """Holds the current fleet version. An in-flight turn keeps the version that it started with."""

    def __init__(self, bus: Bus, first: FleetVersion) -> None:
        """Use `follow_fleet` to create one."""
        self._bus = bus
        self._refresher = Refresher(bus, self._refresh, name="fleet", interval_s=_REFRESH_INTERVAL_S)
        self.current = first
        self.on_change: Callable[[FleetVersion], None] = lambda _: None
        """Called with every new version."""

    @property
    def fleet(self) -> Fleet:
        """The current fleet."""
        return self.current.fleet

    async def subscribe(self) -> None:
        """Subscribe to changes; the first refresh finds a version published before the subscription took effect."""
        await self._bus.subscribe(SUBJECT, self._on_message)
        await self._bus.flush()
        self._refresher.mark_stale()

    async def run(self) -> None:
        """Follow new versions until cancelled."""
        await self._refresher.run()

    async def _refresh(self) -> None:
        latest = await read_current_fleet(self._bus)
        if latest is not None and latest.version != self.current.version:
            _log.info("fleet.loaded", version=latest.version, agents=len(latest.fleet.agents))
            self.current = latest
            self.on_change(latest)

    async def _on_message(self, message: Msg) -> None:
        del message
        self._refresher.mark_stale()


async def follow_fleet(bus: Bus, *, timeout_s: float = 20.0) -> FleetView:
    """Wait up to `timeout_s` for a published fleet and subscribe to its changes; the caller runs `run`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        first = await read_current_fleet(bus)
        if first is not None:
            break
        if asyncio.get_running_loop().time() > deadline:
            raise BusUnavailableError(f"no fleet in KV {FLEET.name} within {timeout_s:g} s; has provisioning run?")
        await asyncio.sleep(_POLL_INTERVAL_S)
    view = FleetView(bus, first)
    await view.subscribe()
    return view

"""The fleet versions that a process serves, kept up to date from KV FLEET."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from trunkline_protocols.streams import FLEET

from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.fleet_store import SUBJECTS, FleetVersion, read_served_fleets
from trunkline_chassis.refresher import Refresher

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from trunkline_protocols.fleet import Fleet

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.served_fleets import ServedFleets

_log: Final = structlog.get_logger(__name__)

_REFRESH_INTERVAL_S: Final = 30.0
_POLL_INTERVAL_S: Final = 0.2


class FleetView:
    """Holds the served version and a candidate. An in-flight turn keeps the version that it started with."""

    def __init__(self, bus: Bus, first: ServedFleets) -> None:
        """Use `follow_fleet` to create one."""
        self._bus = bus
        self._refresher = Refresher(bus, self._refresh, name="fleet", interval_s=_REFRESH_INTERVAL_S)
        self.fleets = first
        """Replaced as a whole."""
        self.on_change: Callable[[ServedFleets], None] = lambda _: None
        """Called after every change of a version or of the roll-out."""

    @property
    def current(self) -> FleetVersion:
        """The served version."""
        return self.fleets.served

    @property
    def fleet(self) -> Fleet:
        """The served fleet."""
        return self.current.fleet

    @property
    def specialties(self) -> list[str]:
        """Return the specialties of the served fleet and of an active candidate, sorted by name."""
        return self.fleets.specialties

    @property
    def candidate_version(self) -> int:
        """Return the number of an active candidate, 0 without one."""
        candidate = self.fleets.active_candidate
        return candidate.version if candidate is not None else 0

    async def subscribe(self) -> None:
        """Subscribe to changes; the first refresh finds a version published before the subscription took effect."""
        for subject in SUBJECTS:
            await self._bus.subscribe(subject, self._on_message)
        await self._bus.flush()
        self._refresher.mark_stale()

    async def run(self) -> None:
        """Follow new versions until cancelled."""
        await self._refresher.run()

    async def _refresh(self) -> None:
        latest = await read_served_fleets(self._bus)
        if latest is None or _state_of(latest) == _state_of(self.fleets):
            return
        before, self.fleets = self.fleets, latest
        if latest.served.version != before.served.version:
            _log.info("fleet.loaded", version=latest.served.version, agents=len(latest.served.fleet.agents))
        self.on_change(latest)

    async def _on_message(self, message: Msg) -> None:
        del message
        self._refresher.mark_stale()


def _state_of(fleets: ServedFleets) -> tuple[object, ...]:
    """Return all that distinguishes two states: a revision never changes its content."""
    return fleets.served.version, fleets.candidate.version if fleets.candidate else 0, fleets.rollout


async def follow_fleet(bus: Bus, *, timeout_s: float = 20.0) -> FleetView:
    """Wait up to `timeout_s` for a published fleet and subscribe to its changes; the caller runs `run`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        first = await read_served_fleets(bus)
        if first is not None:
            break
        if asyncio.get_running_loop().time() > deadline:
            raise BusUnavailableError(f"no fleet in KV {FLEET.name} within {timeout_s:g} s; has provisioning run?")
        await asyncio.sleep(_POLL_INTERVAL_S)
    view = FleetView(bus, first)
    await view.subscribe()
    return view

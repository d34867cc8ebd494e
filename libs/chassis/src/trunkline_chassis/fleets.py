"""The fleet in force: read from KV FLEET, followed from version to version, put in force behind a fence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from trunkline_protocols import codec
from trunkline_protocols.fleet import Fleet, FleetOrigin, FleetPublished
from trunkline_protocols.streams import FLEET, FLEET_KEY

from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.refresher import Refresher

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

SUBJECT: Final = f"$KV.{FLEET.name}.{FLEET_KEY}"
STREAM: Final = f"KV_{FLEET.name}"
_REFRESH_INTERVAL_S: Final = 30.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class FleetVersion:
    """A fleet with its version: the revision of its key."""

    version: int
    published: FleetPublished

    @property
    def fleet(self) -> Fleet:
        """The fleet itself."""
        return self.published.fleet


class Fleets:
    """Knows the fleet in force. A turn in flight keeps the version that it has taken from here."""

    def __init__(self, bus: Bus, first: FleetVersion) -> None:
        """Made by `follow_fleets`."""
        self._bus = bus
        self._refresher = Refresher(bus, self._refresh, name="fleet", interval_s=_REFRESH_INTERVAL_S)
        self.current = first
        self.on_change: Callable[[FleetVersion], None] = lambda _: None

    @property
    def fleet(self) -> Fleet:
        """The fleet in force."""
        return self.current.fleet

    async def listen(self) -> None:
        """Subscribe to changes; the first refresh finds one that came before the subscription took effect."""
        await self._bus.subscribe(SUBJECT, self._on_message)
        await self._bus.flush()
        self._refresher.mark_stale()

    async def run(self) -> None:
        """Follow new versions until cancelled."""
        await self._refresher.run()

    async def _refresh(self) -> None:
        latest = await fleet_in_force(self._bus)
        if latest is not None and latest.version != self.current.version:
            _log.info("fleet.loaded", version=latest.version, agents=len(latest.fleet.agents))
            self.current = latest
            self.on_change(latest)

    async def _on_message(self, message: Msg) -> None:
        del message
        self._refresher.mark_stale()


async def follow_fleets(bus: Bus, *, wait_s: float = 20.0) -> Fleets:
    """Wait for a fleet to be in force, and follow it from there; the caller runs `run`."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        first = await fleet_in_force(bus)
        if first is not None:
            break
        if asyncio.get_running_loop().time() > deadline:
            raise BusUnavailableError(f"no fleet in KV {FLEET.name} within {wait_s:g} s; has the provision step run?")
        await asyncio.sleep(_POLL_S)
    fleets = Fleets(bus, first)
    await fleets.listen()
    return fleets


async def fleet_in_force(bus: Bus) -> FleetVersion | None:
    """Read the latest version, None when there is none yet."""
    stored = await bus.last_message(STREAM, SUBJECT)
    return FleetVersion(stored.seq, codec.fleet.decode(stored.payload)) if stored is not None else None


async def fleet_versions(bus: Bus) -> list[FleetVersion]:
    """Read the versions that are kept, oldest first."""
    return [
        FleetVersion(stored.seq, codec.fleet.decode(stored.payload))
        for stored in await bus.read_messages(STREAM, SUBJECT)
    ]


async def publish_fleet(
    bus: Bus, fleet: Fleet, *, after: int, by: str, origin: FleetOrigin, note: str = ""
) -> FleetVersion:
    """Put a fleet in force behind version `after`; raises `FenceError` when somebody else was faster."""
    published = FleetPublished(fleet=fleet, published_at=time.time(), published_by=by, origin=origin, note=note)
    stored = await bus.append(
        SUBJECT,
        codec.encode(published),
        message_id=f"fleet-{after}-{published.published_at:.6f}",
        fence=(SUBJECT, after),
    )
    return FleetVersion(stored.seq, published)


async def seed_fleet(bus: Bus, fleet: Fleet, *, by: str) -> FleetVersion:
    """Put the fleet of the suite's folder in force, unless one was applied by hand since: that one stays."""
    current = await fleet_in_force(bus)
    if current is not None and (current.published.origin != "start" or current.fleet == fleet):
        return current
    return await publish_fleet(bus, fleet, after=current.version if current else 0, by=by, origin="start")

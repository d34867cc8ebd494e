"""Fleet versions in KV FLEET: read, publish behind a fence, and seed from the fleet folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trunkline_protocols import codec
from trunkline_protocols.fleet import Fleet, FleetOrigin, FleetPublished
from trunkline_protocols.streams import FLEET, FLEET_KEY

if TYPE_CHECKING:
    from trunkline_chassis.bus import Bus

SUBJECT: Final = f"$KV.{FLEET.name}.{FLEET_KEY}"
STREAM: Final = f"KV_{FLEET.name}"


@dataclass(frozen=True, slots=True)
class FleetVersion:
    """A fleet and its version number: the revision of its key."""

    version: int
    published: FleetPublished

    @property
    def fleet(self) -> Fleet:
        """The fleet of this version."""
        return self.published.fleet


async def read_current_fleet(bus: Bus) -> FleetVersion | None:
    """Read the latest version; None if no fleet has been published."""
    stored = await bus.last_message(STREAM, SUBJECT)
    return FleetVersion(stored.seq, codec.fleet.decode(stored.payload)) if stored is not None else None


async def read_fleet_versions(bus: Bus) -> list[FleetVersion]:
    """Read the retained versions, oldest first."""
    return [
        FleetVersion(stored.seq, codec.fleet.decode(stored.payload))
        for stored in await bus.read_messages(STREAM, SUBJECT)
    ]


async def publish_fleet(
    bus: Bus, fleet: Fleet, *, after: int, by: str, origin: FleetOrigin, note: str = ""
) -> FleetVersion:
    """Publish a fleet as the successor of version `after`; raise `FenceError` if another version came first."""
    published = FleetPublished(fleet=fleet, published_at=time.time(), published_by=by, origin=origin, note=note)
    appended = await bus.append(
        SUBJECT,
        codec.encode(published),
        message_id=f"fleet-{after}-{published.published_at:.6f}",
        fence=(SUBJECT, after),
    )
    return FleetVersion(appended.seq, published)


async def seed_fleet(bus: Bus, fleet: Fleet, *, by: str) -> FleetVersion:
    """Publish the fleet of the suite's folder, unless an operator has applied a version: that one is kept."""
    current = await read_current_fleet(bus)
    if current is not None and (current.published.origin != "start" or current.fleet == fleet):
        return current
    return await publish_fleet(bus, fleet, after=current.version if current else 0, by=by, origin="start")

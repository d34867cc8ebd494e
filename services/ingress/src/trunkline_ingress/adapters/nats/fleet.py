"""Fleet versions in KV FLEET."""

from __future__ import annotations

from trunkline_chassis.bus import Bus
from trunkline_chassis.fleet_store import (
    FleetHistory,
    FleetVersion,
    publish_fleet,
    read_current_fleet,
    read_fleet_history,
)
from trunkline_chassis.provision import provision_work
from trunkline_protocols.fleet import Fleet, FleetOrigin


class NatsFleetStore:
    """Fleet store on JetStream."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def current(self) -> FleetVersion | None:
        """Read the current version."""
        return await read_current_fleet(self._bus)

    async def history(self) -> FleetHistory:
        """Read the retained versions."""
        return await read_fleet_history(self._bus)

    async def publish(self, fleet: Fleet, *, after: int, by: str, origin: FleetOrigin, note: str) -> FleetVersion:
        """Provision the work queues of the fleet's specialties, then publish it."""
        # In this order: a conversation may be handed off as soon as the fleet is published.
        await provision_work(self._bus, fleet.specialties)
        return await publish_fleet(self._bus, fleet, after=after, by=by, origin=origin, note=note)

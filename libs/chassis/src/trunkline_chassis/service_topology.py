"""The streams, buckets and consumers that one service creates if they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trunkline_protocols.topology import topology_of

from trunkline_chassis.lost_streams import LostStreams
from trunkline_chassis.provision import TopologyOptions, create_missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trunkline_protocols.subjects import QueueColour

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.settings import ProcessSettings


class ServiceTopology:
    """Repairs the part of the topology that belongs to a service."""

    def __init__(self, bus: Bus, service: str, settings: ProcessSettings) -> None:
        """`settings` has the region and the operator's choices for new streams."""
        self._bus = bus
        self._service = service
        self._region = settings.region
        self._lost = LostStreams(bus, claimant=settings.instance_name(service))
        self._options = TopologyOptions(replicas=settings.replicas, limits=settings.stream_limits)
        self.specialties: Callable[[], Sequence[str]] = lambda: ()
        """Specialties whose work queues are created."""
        self.colour: QueueColour = ""
        """Colour of these queues beside those without one."""
        self.restore: Callable[[], Awaitable[None]] | None = None
        """Called after every repair, to write content that the server has lost."""

    async def repair(self) -> list[str]:
        """Create what is missing and return the names."""
        needed = topology_of(self._service, self._region, self.specialties(), self.colour)
        created = await create_missing(self._bus, needed, self._options, self._lost)
        if self.restore is not None:
            await self.restore()
        return created

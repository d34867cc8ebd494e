"""The streams, buckets and consumers that one service creates if they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from trunkline_protocols.topology import STREAM_CREATORS, topology_of

from trunkline_chassis.errors import BusConfigError, BusError
from trunkline_chassis.lost_streams import LostStreams
from trunkline_chassis.provision import TopologyOptions, create_missing
from trunkline_chassis.region_check import require_region

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trunkline_protocols.subjects import QueueColour

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.settings import ProcessSettings

_log: Final = structlog.get_logger(__name__)


class ServiceTopology:
    """Repairs the part of the topology that belongs to a service."""

    def __init__(self, bus: Bus, service: str, settings: ProcessSettings) -> None:
        """`settings` has the region and the operator's choices for new streams."""
        self._bus = bus
        self._service = service
        self._region = settings.region
        self._instance = settings.instance_name(service)
        self._lost = LostStreams(bus, claimant=self._instance)
        self._is_verified = False
        self._options = TopologyOptions(
            replicas=settings.replicas,
            limits=settings.stream_limits,
            region=settings.region,
            tags=settings.stream_tags,
        )
        self.specialties: Callable[[], Sequence[str]] = lambda: ()
        """Specialties whose work queues are created."""
        self.colour: QueueColour = ""
        """Colour of these queues beside those without one."""
        self.restore: Callable[[], Awaitable[None]] | None = None
        """Called after every repair, to write content that the server has lost."""

    async def repair(self) -> list[str]:
        """Create what is missing and return the names; raises `BusConfigError` in the account of another region."""
        await self._check_region()
        needed = topology_of(self._service, self._region, self.specialties(), self.colour)
        created = await create_missing(self._bus, needed, self._options, self._lost)
        if self.restore is not None:
            await self.restore()
        return created

    async def _check_region(self) -> None:
        """Verify the region of the account until that succeeds once: it does not change under a process."""
        if self._is_verified:
            return
        try:
            self._is_verified = await require_region(
                self._bus, self._region, service=self._service, instance=self._instance
            )
        except BusConfigError:
            raise
        except BusError as error:
            if self._service in STREAM_CREATORS:
                raise
            # Permissions of an earlier version do not allow the question; every message is checked all the same.
            _log.warning("topology.region_unverified", reason=str(error))

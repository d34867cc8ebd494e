"""Client of the supervisor."""

from __future__ import annotations

from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, subjects
from trunkline_protocols.presence import GetStatus

_TIMEOUT_S: Final = 5.0


class SupervisorClient:
    """Requests to the supervisor of one region over core NATS."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._subject = subjects.status(region)

    async def status(self) -> bytes:
        """Request the supervision tree."""
        return await self._bus.request(self._subject, codec.encode(GetStatus()), timeout_s=_TIMEOUT_S)

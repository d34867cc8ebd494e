"""Streams of a turn with their leaders, and the consumers of inbox and work."""

from __future__ import annotations

import asyncio
from typing import Final

from trunkline_chassis.bus import STREAM_NOT_FOUND, Bus
from trunkline_chassis.errors import BusRefusedError, BusUnavailableError
from trunkline_protocols import streams
from trunkline_protocols.fleet import TRIAGE
from trunkline_protocols.topology import TURN_STREAMS, slot_consumers, work_consumers

_TIMEOUT_S: Final = 1.0


class NatsTopologyProbe:
    """Probes the JetStream API."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._consumers = (*slot_consumers(region), *work_consumers([TRIAGE]))

    async def missing(self) -> list[str]:
        """Return the streams without a leader and the consumers that do not exist; raises `BusError`."""
        found = await asyncio.gather(
            *(self._missing_stream(stream.name) for stream in TURN_STREAMS),
            *(self._missing_consumers(stream) for stream in (streams.INBOX.name, streams.WORK.name)),
        )
        return [name for names in found for name in names]

    async def _missing_stream(self, name: str) -> list[str]:
        """Return the stream if its leader, which alone replies in a cluster, does not reply."""
        try:
            await self._bus.api(f"STREAM.INFO.{name}", timeout_s=_TIMEOUT_S)
        except (BusRefusedError, BusUnavailableError):
            return [f"stream {name}"]
        return []

    async def _missing_consumers(self, stream: str) -> list[str]:
        try:
            reply = await self._bus.api(f"CONSUMER.NAMES.{stream}", timeout_s=_TIMEOUT_S)
        except BusRefusedError as error:
            if error.code == STREAM_NOT_FOUND:
                return []
            raise
        known = set(reply.get("consumers") or [])
        missing = [each.name for each in self._consumers if each.stream == stream and each.name not in known]
        if missing:
            self._bus.report_missing()
        return [f"consumer {name}" for name in missing]

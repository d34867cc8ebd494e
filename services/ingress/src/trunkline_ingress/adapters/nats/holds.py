"""Stream HOLDS: legal holds and their releases."""

from __future__ import annotations

from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.holds import HoldMessage


class NatsHolds:
    """Holds of one region on JetStream."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._region = region

    async def append(self, message: HoldMessage) -> None:
        """Store a hold or its release; a repeat has no effect."""
        tag = message.__struct_config__.tag
        await self._bus.append(
            subjects.hold(self._region, message.hold), codec.encode(message), message_id=f"{message.hold}-{tag}"
        )

    async def messages(self) -> list[HoldMessage]:
        """Read all; raises `DecodeError` if one cannot be read: no list may lack a hold."""
        stored = await self._bus.read_messages(streams.HOLDS.name, subjects.hold_any(self._region))
        return [codec.hold.decode(message.payload) for message in stored]

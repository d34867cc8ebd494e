"""Unacknowledged messages on core NATS: socket announcements and cancellations."""

from __future__ import annotations

import contextlib

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import CancelCompletion
from trunkline_protocols.ids import TurnId
from trunkline_protocols.turn import SocketAttached


class NatsSocketPresence:
    """Socket announcements to the conversation's owner and to the other ingresses."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def announce(self, region: str, attached: SocketAttached) -> None:
        """Publish the announcement."""
        await self._bus.publish(subjects.attach(region, attached.conversation), codec.encode(attached))


class NatsTurnCanceller:
    """Cancellations to all LLM gateways of a region."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process; `region` is the region of its gateways."""
        self._bus = bus
        self._subject = subjects.cancel_completion(region)

    async def cancel(self, turn: TurnId) -> None:
        """Publish the cancellation; ignore a lost connection."""
        cancel = CancelCompletion(turn=turn, reason="the customer has ended the conversation")
        with contextlib.suppress(BusUnavailableError):
            await self._bus.publish(self._subject, codec.encode(cancel))

"""Notifications to ingresses and to the desk over core NATS."""

from __future__ import annotations

from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, subjects
from trunkline_protocols.desk import DeskOutcome
from trunkline_protocols.ids import Instance
from trunkline_protocols.log import CommitStored


class NatsNotifier:
    """Implements the port `Notifier`."""

    def __init__(self, bus: Bus) -> None:
        """Publish over `bus`."""
        self._bus = bus

    async def notify_ingress(self, ingress: Instance, stored: CommitStored) -> None:
        """Publish a commit to an ingress, or to all of them."""
        await self._bus.publish(subjects.out(ingress, stored.commit.conversation), codec.encode(stored))

    async def reply_to_desk(self, reply_to: str, outcome: DeskOutcome) -> None:
        """Publish an outcome to the reply subject of a command."""
        if reply_to:
            await self._bus.publish(reply_to, codec.encode(outcome))

"""The heartbeat of a process in KV PRESENCE, and the view of the others' heartbeats."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from trunkline_protocols import codec
from trunkline_protocols.presence import Presence, ProcessState
from trunkline_protocols.streams import PRESENCE

from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.latency import RecentLatency

HEARTBEAT_INTERVAL_S: Final = 1.0
HEARTBEAT_TIMEOUT_S: Final = 3.5
"""A process that has not been heard for so long is not counted as living."""
_LEAVING: Final = frozenset({"draining", "restarting", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Figures of a process that change while it runs."""

    queue_depth: int = 0
    slots: list[int] = field(default_factory=list)
    """Slots of the inbox that the process holds."""
    finishing: list[str] = field(default_factory=list)
    """Conversations whose in-flight turn it finishes although their slot is held elsewhere."""
    detail: dict[str, str] = field(default_factory=dict)
    specialties: list[str] = field(default_factory=list)
    fleet_version: int = 0


class Heartbeat:
    """Publishes the presence of this process every second."""

    def __init__(self, bus: Bus, first: Presence, latency: RecentLatency) -> None:
        """`first` holds the constant fields."""
        self._bus = bus
        self._presence = first
        self._latency = latency
        self._due = asyncio.Event()
        self.vitals: Callable[[], Vitals] = Vitals
        """Provider of the changing fields, set once by the service's wiring."""

    @property
    def state(self) -> ProcessState:
        """The last published state."""
        return self._presence.state

    async def publish(self, state: ProcessState) -> None:
        """Publish a state now."""
        vitals = self.vitals()
        self._presence = msgspec.structs.replace(
            self._presence,
            state=state,
            at=time.time(),
            queue_depth=vitals.queue_depth,
            slots=vitals.slots,
            finishing=vitals.finishing,
            detail=vitals.detail,
            specialties=vitals.specialties,
            fleet_version=vitals.fleet_version,
            p50_ms=round(self._latency.percentile(50), 3),
            p95_ms=round(self._latency.percentile(95), 3),
        )
        subject = f"$KV.{PRESENCE.name}.{self._presence.instance}"
        await self._bus.publish(subject, codec.encode(self._presence))

    def publish_soon(self) -> None:
        """Publish at once instead of with the next heartbeat."""
        self._due.set()

    async def run(self) -> None:
        """Beat until cancelled; a lost connection comes back, and so do the beats."""
        while True:
            self._due.clear()
            with contextlib.suppress(BusError):
                await self.publish(self.state)
            await wait_for_event(self._due, within_s=HEARTBEAT_INTERVAL_S)


class PresenceRegistry:
    """What all processes said last."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._by_instance: dict[str, tuple[float, Presence]] = {}
        self.on_leaving: Callable[[Presence], None] = lambda _: None
        """Called when a process says that it stops, or its supervisor that it has died."""

    async def watch(self, bus: Bus) -> None:
        """Follow the bucket from now on; everybody is heard within one beat."""
        await bus.subscribe(f"$KV.{PRESENCE.name}.>", self._on_message)

    async def _on_message(self, message: Msg) -> None:
        if message.data:
            presence = codec.presence.decode(message.data)
            self._by_instance[presence.instance] = (time.monotonic(), presence)
            if presence.state in _LEAVING:
                self.on_leaving(presence)

    def living(self, service: str | None = None) -> list[Presence]:
        """Processes heard lately and not stopped, of one service or of all."""
        now = time.monotonic()
        return [
            presence
            for heard_at, presence in self._by_instance.values()
            if now - heard_at < HEARTBEAT_TIMEOUT_S
            and presence.state != "stopped"
            and (service is None or presence.service == service)
        ]

    def heartbeat_age_s(self, instance: str, pid: int) -> float | None:
        """Seconds since this very process was heard; None when it never was."""
        heard = self._by_instance.get(instance)
        return time.monotonic() - heard[0] if heard is not None and heard[1].pid == pid else None

    def of(self, instance: str) -> Presence | None:
        """What one process said last, however long ago."""
        heard = self._by_instance.get(instance)
        return heard[1] if heard else None


async def publish_death(bus: Bus, dead: Presence, state: ProcessState) -> None:
    """Say of a process that it has died: whoever shares its work need not find out by its silence.

    What it held remains in its presence, for its heirs.
    """
    gone = msgspec.structs.replace(dead, state=state, at=time.time(), finishing=[], queue_depth=0)
    await bus.publish(f"$KV.{PRESENCE.name}.{dead.instance}", codec.encode(gone))


def first_presence(*, service: str, instance: str, node: str, version: str, http_url: str) -> Presence:
    """Describe this process as it starts."""
    now = time.time()
    return Presence(
        service=service,
        instance=instance,
        pid=os.getpid(),
        state="starting",
        version=version,
        node=node,
        http_url=http_url,
        started_at=now,
        at=now,
    )

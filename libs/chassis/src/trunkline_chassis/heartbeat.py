"""The heartbeat of a process: its presence in KV PRESENCE, published every second."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from trunkline_protocols import codec, subjects
from trunkline_protocols.presence import Presence, ProcessState

from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.errors import BusError
from trunkline_chassis.ticks import until_next_tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.latency import RecentLatency

HEARTBEAT_INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Figures of a process that change while it runs."""

    queue_depth: int = 0
    slots: list[int] = field(default_factory=list)
    """Inbox slots that the process holds."""
    finishing: list[str] = field(default_factory=list)
    """Conversations whose in-flight turn the process finishes although another process holds their slot."""
    detail: dict[str, str] = field(default_factory=dict)
    specialties: list[str] = field(default_factory=list)
    fleet_version: int = 0
    candidate_version: int = 0
    """Loaded candidate of a roll-out."""
    colour: str = ""
    """Release that an agents process belongs to."""
    release_rollout: int = 0
    """Number of the last roll-out of a release that the process knows."""
    attached: list[str] | None = None
    """Escalated conversations whose socket the process holds."""
    outside: int | None = None
    """Calls of the process at model providers or tools now."""
    work_age_s: float = 0.0
    """Age of the oldest work that waits for a permit."""
    turns: int = 0
    """Accepted turns without an answer."""
    is_refusing: bool = False
    """Whether the process refuses turns."""
    is_standby: bool = False
    """Whether the process is ready, but waits for the loss of the one that serves."""


class Heartbeat:
    """Publishes the presence of this process every second."""

    def __init__(self, bus: Bus, first: Presence, latency: RecentLatency) -> None:
        """`first` holds the constant fields."""
        self._bus = bus
        self._presence = first
        self._state: ProcessState = first.state
        self._latency = latency
        self._due = asyncio.Event()
        self.vitals: Callable[[], Vitals] = Vitals
        """Provider of the changing fields, set once by the service's wiring."""

    @property
    def state(self) -> ProcessState:
        """The last published state."""
        return self._state

    async def publish(self, state: ProcessState) -> None:
        """Publish a state now."""
        vitals = self.vitals()
        self._state = state
        self._presence = msgspec.structs.replace(
            self._presence,
            state="standby" if vitals.is_standby and state == "ready" else state,
            at=time.time(),
            queue_depth=vitals.queue_depth,
            slots=vitals.slots,
            finishing=vitals.finishing,
            detail=vitals.detail,
            specialties=vitals.specialties,
            fleet_version=vitals.fleet_version,
            candidate_version=vitals.candidate_version,
            colour=vitals.colour,
            release_rollout=vitals.release_rollout,
            attached=vitals.attached,
            outside=vitals.outside,
            work_age_s=round(vitals.work_age_s, 3),
            turns=vitals.turns,
            is_refusing=vitals.is_refusing,
            p50_ms=round(self._latency.percentile(50), 3),
            p95_ms=round(self._latency.percentile(95), 3),
        )
        await self._bus.publish(
            subjects.presence(self._presence.service, self._presence.instance), codec.encode(self._presence)
        )

    def publish_soon(self) -> None:
        """Publish at once instead of with the next heartbeat."""
        self._due.set()

    async def run(self) -> None:
        """Publish until cancelled; a failed publish is retried with the next heartbeat."""
        while True:
            self._due.clear()
            with contextlib.suppress(BusError):
                await self.publish(self.state)
            await wait_for_event(
                self._due, timeout_s=until_next_tick(asyncio.get_running_loop().time(), HEARTBEAT_INTERVAL_S)
            )


def initial_presence(*, service: str, instance: str, node: str, version: str, http_url: str) -> Presence:
    """Return the presence of this process at its start."""
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

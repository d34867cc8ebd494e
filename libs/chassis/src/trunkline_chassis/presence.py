"""The registry of all processes, built from their heartbeats in KV PRESENCE."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from trunkline_protocols import codec, subjects
from trunkline_protocols.presence import HEARTBEAT_TIMEOUT_S, LastHeartbeat, Presence, ProcessState

from trunkline_chassis.undecodable import report_undecodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

_REMEMBERED_S: Final = 3600.0
"""Age after which the last presence of a process is forgotten: names of one-off processes never come back."""
_RUNNING: Final = frozenset({"starting", "ready", "standby", "draining"})
"""States that a process reports itself: of the others its supervisor does, whose clock the message shows."""
_LEAVING: Final = frozenset({"draining", "restarting", "failed"})


class PresenceRegistry:
    """The latest presence of every process."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_instance: dict[str, tuple[float, Presence]] = {}
        self.on_departure: Callable[[Presence], None] = lambda _: None
        """Called when a process drains, or when its supervisor reports its death."""

    async def watch(self, bus: Bus) -> None:
        """Follow the bucket from now on; every running process appears within one heartbeat interval."""
        await bus.subscribe(subjects.PRESENCES, self._on_message)

    async def _on_message(self, message: Msg) -> None:
        if message.data:
            try:
                presence = codec.presence.decode(message.data)
            except codec.DecodeError as error:
                report_undecodable("presence", message.subject, error)
                return
            if message.subject != subjects.presence(presence.service, presence.instance):
                # A service may publish below its own name only, so this one impersonates another.
                _log.error("presence.forged", subject=message.subject)
                return
            if presence.instance not in self._by_instance:
                self._forget_old()
            self._by_instance[presence.instance] = (time.monotonic(), presence)
            if presence.state in _LEAVING:
                self.on_departure(presence)

    def _forget_old(self) -> None:
        oldest = time.monotonic() - _REMEMBERED_S
        self._by_instance = {name: last for name, last in self._by_instance.items() if last[0] >= oldest}

    def alive(self, service: str | None = None) -> list[Presence]:
        """Return the processes with a recent heartbeat that have not stopped, of one service or of all."""
        now = time.monotonic()
        return [
            presence
            for received_at, presence in self._by_instance.values()
            if now - received_at < HEARTBEAT_TIMEOUT_S
            and presence.state != "stopped"
            and (service is None or presence.service == service)
        ]

    def heartbeats(self, *, within_s: float) -> list[LastHeartbeat]:
        """Return the last heartbeats that are not older than this, of processes that have not stopped."""
        now = time.monotonic()
        return [
            LastHeartbeat(presence, now - received_at)
            for received_at, presence in self._by_instance.values()
            if now - received_at <= within_s and presence.state != "stopped"
        ]

    def clock_readings(self) -> list[float]:
        """Return the wall clock of each process that sends heartbeats, less the monotonic time of this process."""
        now = time.monotonic()
        return [
            presence.at - received_at
            for received_at, presence in self._by_instance.values()
            if now - received_at < HEARTBEAT_TIMEOUT_S and presence.state in _RUNNING
        ]

    def heartbeat_age_s(self, instance: str, pid: int) -> float | None:
        """Return the seconds since the last heartbeat of this very process; None if it never sent one."""
        last = self._by_instance.get(instance)
        return time.monotonic() - last[0] if last is not None and last[1].pid == pid else None

    def get(self, instance: str) -> Presence | None:
        """Return the last presence of a process, regardless of its age."""
        last = self._by_instance.get(instance)
        return last[1] if last else None


async def publish_death(bus: Bus, dead: Presence, state: ProcessState) -> None:
    """Publish a peer's death so that others do not wait for its heartbeat to time out.

    The slots that it held stay in its presence, for the processes that take them over.
    """
    gone = msgspec.structs.replace(dead, state=state, at=time.time(), finishing=[], queue_depth=0)
    await bus.publish(subjects.presence(dead.service, dead.instance), codec.encode(gone))

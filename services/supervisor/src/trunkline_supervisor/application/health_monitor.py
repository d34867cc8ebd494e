"""Health monitoring: processes that exist but do not work are replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, assert_never

import structlog
from prometheus_client import Counter
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.ticks import next_tick
from trunkline_protocols.presence import SUPERVISOR

from trunkline_supervisor.core.health import HealthSignals, assess, assess_server
from trunkline_supervisor.ports import Child, PageProbe, Probe

_log: Final = structlog.get_logger(__name__)
_REPLACED: Final = Counter(
    "trunkline_processes_replaced_total", "Processes killed after a failed health check", ["service", "reason"]
)

_CHECK_INTERVAL_S: Final = 0.5
_PEER_HEARTBEAT_S: Final = 3.0
"""A heartbeat of another process within this time shows that NATS works."""
_SERVER_START_FACTOR: Final = 10
"""A server that has never answered is still starting: its timeout is this many times longer."""
_STOPPING: Final = frozenset({"draining", "stopped"})


class HealthMonitor:
    """Checks children periodically. Observations are kept per pid: a restarted process starts without any."""

    def __init__(
        self, presences: PresenceRegistry, pages: PageProbe, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`presences` receives the heartbeats of the services; `clock` returns seconds."""
        self._presences = presences
        self._pages = pages
        self._clock = clock
        self._unanswered_since: dict[int, float] = {}
        self._answered: set[int] = set()
        self._stopping_since: dict[str, float] = {}

    def answered(self, child: Child) -> bool:
        """Return whether the last probe of a server succeeded."""
        return child.pid in self._answered and child.pid not in self._unanswered_since

    async def watch_service(self, child: Child) -> None:
        """Check a service periodically until it is requested to stop."""
        while not child.stopping:
            await next_tick(_CHECK_INTERVAL_S)
            await self.check_service(child)

    async def watch_server(self, child: Child, probe: Probe, timeout_s: float) -> None:
        """Probe a server periodically until it is requested to stop; replace it after `timeout_s` without an answer."""
        while not child.stopping:
            await next_tick(_CHECK_INTERVAL_S)
            await self.check_server(child, probe, timeout_s)

    async def check_service(self, child: Child) -> None:
        """Check a service by its heartbeats, and by a probe if they are late; replace it if necessary."""
        pid = child.pid
        if not pid:
            return
        verdict = assess(self._signals(child, pid))
        match verdict:
            case "healthy":
                self._unanswered_since.pop(pid, None)
            case "probe":
                self._record(pid, answered=await self._probe(child))
            case "frozen" | "partitioned" | "start_timeout" | "stop_timeout":
                self._replace(child, verdict)
            case _:
                assert_never(verdict)

    async def check_server(self, child: Child, probe: Probe, timeout_s: float) -> None:
        """Probe a server once; replace it if it has not answered for `timeout_s` seconds."""
        pid = child.pid
        if not pid:
            return
        try:
            answered = await probe()
        except Exception as error:  # a driver that fails in its own way says only that the server does not answer
            _log.warning("probe.failed", instance=child.spec.instance, error=type(error).__name__)
            answered = False
        self._record(pid, answered=answered)
        allowed_s = timeout_s if pid in self._answered else _SERVER_START_FACTOR * timeout_s
        if assess_server(unanswered_s=self._unanswered_s(pid), timeout_s=allowed_s) == "frozen":
            self._replace(child, "frozen")

    def _signals(self, child: Child, pid: int) -> HealthSignals:
        instance = child.spec.instance
        peers_alive = any(
            presence.instance != instance
            and presence.service != SUPERVISOR  # its heartbeats show nothing about the connections of children
            and (self._presences.heartbeat_age_s(presence.instance, presence.pid) or 0.0) < _PEER_HEARTBEAT_S
            for presence in self._presences.alive()
        )
        return HealthSignals(
            running_s=child.running_s,
            heartbeat_age_s=self._presences.heartbeat_age_s(instance, pid),
            unanswered_s=self._unanswered_s(pid),
            peers_alive=peers_alive,
            stopping_s=self._stopping_s(instance, pid),
        )

    def _stopping_s(self, instance: str, pid: int) -> float:
        presence = self._presences.get(instance)
        if presence is None or presence.pid != pid or presence.state not in _STOPPING:
            self._stopping_since.pop(instance, None)
            return 0.0
        return self._clock() - self._stopping_since.setdefault(instance, self._clock())

    async def _probe(self, child: Child) -> bool:
        presence = self._presences.get(child.spec.instance)
        if presence is None or presence.pid != child.pid or not presence.http_url:
            return True  # its address is not known yet
        return await self._pages.answers(f"{presence.http_url}/healthz")

    def _record(self, pid: int, *, answered: bool) -> None:
        if answered:
            self._unanswered_since.pop(pid, None)
            self._answered.add(pid)
        else:
            self._unanswered_since.setdefault(pid, self._clock() - _CHECK_INTERVAL_S)

    def _unanswered_s(self, pid: int) -> float:
        since = self._unanswered_since.get(pid)
        return 0.0 if since is None else self._clock() - since

    def _replace(self, child: Child, reason: str) -> None:
        _log.error("child.replaced", instance=child.spec.instance, pid=child.pid, reason=reason)
        _REPLACED.labels(child.spec.service, reason).inc()
        self._unanswered_since.pop(child.pid, None)
        self._answered.discard(child.pid)
        child.replace(reason)

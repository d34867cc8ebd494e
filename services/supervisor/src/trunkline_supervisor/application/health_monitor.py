"""Looks after the health of every process, and replaces those that have a pid but no life."""

from __future__ import annotations

import asyncio
import time
from typing import Final, assert_never

import aiohttp
import structlog
from prometheus_client import Counter
from trunkline_chassis.presence import PresenceRegistry

from trunkline_supervisor.adapters.child import Child
from trunkline_supervisor.adapters.nats_server import NatsNode
from trunkline_supervisor.adapters.probes import AnswersAndWrites, Probe, answers_http
from trunkline_supervisor.core.health import HealthSignals, assess, assess_server

_log: Final = structlog.get_logger(__name__)
_REPLACED: Final = Counter("trunkline_processes_replaced_total", "Ended because of bad health", ["service", "reason"])

_LOOK_EVERY_S: Final = 0.5
_OTHERS_WITHIN_S: Final = 3.0
_LEAVING: Final = frozenset({"draining", "stopped"})


class HealthMonitor:
    """Watches processes; what it remembers of one that was started again is forgotten by its pid."""

    def __init__(self, presences: PresenceRegistry) -> None:
        """`presences` is what the services say of themselves."""
        self._presences = presences
        self._session: aiohttp.ClientSession | None = None
        self._unanswered_since: dict[int, float] = {}
        self._answered: set[int] = set()
        self._leaving_since: dict[str, float] = {}

    def answered(self, child: Child) -> bool:
        """Whether this server has answered the last question."""
        return child.pid in self._answered and child.pid not in self._unanswered_since

    async def close(self) -> None:
        """Let connections go."""
        if self._session is not None:
            await self._session.close()

    async def service(self, child: Child) -> None:
        """HealthMonitor a service for as long as it shall live: by its beats, and where they are late by asking it."""
        while not child.stopping:
            await asyncio.sleep(_LOOK_EVERY_S)
            pid = child.pid
            if not pid:
                continue
            verdict = assess(self._signs(child, pid))
            match verdict:
                case "well":
                    self._unanswered_since.pop(pid, None)
                case "ask":
                    self._note(pid, answered=await self._ask(child))
                case "frozen" | "cut off" | "never ready" | "never ended":
                    self._replace(child, verdict)
                case _:
                    assert_never(verdict)

    async def server(self, child: Child, probe: Probe, patience_s: float) -> None:
        """HealthMonitor a server for as long as it shall live, by asking it."""
        while not child.stopping:
            await asyncio.sleep(_LOOK_EVERY_S)
            pid = child.pid
            if not pid:
                continue
            self._note(pid, answered=await probe())
            # One that never answered is still starting: it has the time of a start.
            patience = patience_s if pid in self._answered else 10 * patience_s
            if assess_server(unanswered_s=self._unanswered_s(pid), patience_s=patience) == "frozen":
                self._replace(child, "frozen")

    def nats(self, node: NatsNode) -> Probe:
        """Make a probe of a nats-server."""
        return AnswersAndWrites(self._client, node)

    def _signs(self, child: Child, pid: int) -> HealthSignals:
        others = any(
            presence.instance != child.spec.instance
            and (self._presences.heartbeat_age_s(presence.instance, presence.pid) or 0.0) < _OTHERS_WITHIN_S
            for presence in self._presences.alive()
        )
        return HealthSignals(
            running_s=child.running_s,
            silent_s=self._presences.heartbeat_age_s(child.spec.instance, pid),
            unanswered_s=self._unanswered_s(pid),
            others_beat=others,
            leaving_s=self._leaving_s(child.spec.instance, pid),
        )

    def _leaving_s(self, instance: str, pid: int) -> float:
        presence = self._presences.get(instance)
        if presence is None or presence.pid != pid or presence.state not in _LEAVING:
            self._leaving_since.pop(instance, None)
            return 0.0
        return time.monotonic() - self._leaving_since.setdefault(instance, time.monotonic())

    async def _ask(self, child: Child) -> bool:
        presence = self._presences.get(child.spec.instance)
        if presence is None or presence.pid != child.pid or not presence.http_url:
            return True  # not known where to ask yet
        return await answers_http(self._client(), f"{presence.http_url}/healthz")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        return self._session

    def _note(self, pid: int, *, answered: bool) -> None:
        if answered:
            self._unanswered_since.pop(pid, None)
            self._answered.add(pid)
        else:
            self._unanswered_since.setdefault(pid, time.monotonic() - _LOOK_EVERY_S)

    def _unanswered_s(self, pid: int) -> float:
        since = self._unanswered_since.get(pid)
        return 0.0 if since is None else time.monotonic() - since

    def _replace(self, child: Child, reason: str) -> None:
        _log.error("child.replaced", instance=child.spec.instance, pid=child.pid, reason=reason)
        _REPLACED.labels(child.spec.service, reason).inc()
        self._unanswered_since.pop(child.pid, None)
        self._answered.discard(child.pid)
        child.replace(reason)

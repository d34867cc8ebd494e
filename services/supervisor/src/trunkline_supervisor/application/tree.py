"""The supervision tree of one machine: servers first, then services; stopped in the opposite order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

import structlog
from trunkline_chassis.presence import HEARTBEAT_TIMEOUT_S, PresenceRegistry
from trunkline_protocols.presence import GetStatus, ProcessState, ProcessStatus, SuiteStatus

from trunkline_supervisor.adapters.child import Child
from trunkline_supervisor.application.pool import Pool, stop_all
from trunkline_supervisor.core.errors import NotReadyError

_log: Final = structlog.get_logger(__name__)


class Tree:
    """All processes of the suite."""

    def __init__(
        self, presences: PresenceRegistry, answered: Callable[[Child], bool], metrics_url: Callable[[], str]
    ) -> None:
        """`presences` is what the services say of themselves, `answered` whether a server answers."""
        self._presences = presences
        self._answered = answered
        self._metrics_url = metrics_url
        self.servers: list[Pool] = []
        """NATS and PostgreSQL: there before the services and after them."""
        self.pools: list[Pool] = []
        """Services, in the order in which they are stopped."""

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until every service has said that it is ready."""
        deadline = time.monotonic() + timeout_s
        while waiting := [line for line in self._lines() if line[2].state != "ready"]:
            pool, child, line = waiting[0]
            if pool.failure or time.monotonic() > deadline:
                reason = pool.failure or f"{line.state} after {timeout_s:g} s"
                raise NotReadyError(f"{line.instance}: {reason}; see {child.log_file}")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop from the edge to the core: ingress, conversation, agents, the rest, then the servers."""
        stages = ("ingress", "conversation", "agents")
        for stage in stages:
            await stop_all([child for pool in self.pools if pool.service == stage for child in pool.children])
        await stop_all([child for pool in self.pools if pool.service not in stages for child in pool.children])
        for server in reversed([child for pool in self.servers for child in pool.children]):
            await server.stop()

    async def status(self, _: GetStatus) -> SuiteStatus:
        """Tell the state of every process."""
        lines = [line for _, _, line in self._lines()]
        processes = [_own_status(self._metrics_url()), *lines]
        return SuiteStatus(ready=all(line.state == "ready" for line in processes), processes=processes)

    def _lines(self) -> list[tuple[Pool, Child, ProcessStatus]]:
        return [
            (pool, child, self._line(pool, child)) for pool in (*self.servers, *self.pools) for child in pool.children
        ]

    def _state(self, pool: Pool, child: Child) -> ProcessState:
        if not child.running:
            return "failed" if pool.failure else "restarting"
        if pool in self.servers:
            return "ready" if self._answered(child) else "starting"
        presence = self._presences.get(child.spec.instance)
        silent_s = self._presences.heartbeat_age_s(child.spec.instance, child.pid)
        if presence is None or silent_s is None:
            return "starting"
        return presence.state if silent_s < HEARTBEAT_TIMEOUT_S else "failed"

    def _line(self, pool: Pool, child: Child) -> ProcessStatus:
        presence = self._presences.get(child.spec.instance)
        current = presence if presence is not None and presence.pid == child.pid else None
        state = self._state(pool, child)
        reason = pool.failure if state == "failed" else ""
        return ProcessStatus(
            name=child.spec.instance,
            service=child.spec.service,
            instance=child.spec.instance,
            pid=child.pid,
            state=state,
            restarts=child.restarts.total,
            version=current.version if current else "",
            queue_depth=current.queue_depth if current else 0,
            p50_ms=current.p50_ms if current else 0.0,
            p95_ms=current.p95_ms if current else 0.0,
            detail=(current.detail if current else {}) | ({"reason": reason} if reason else {}),
        )


def _own_status(metrics_url: str) -> ProcessStatus:
    return ProcessStatus(
        name="supervisor",
        service="supervisor",
        instance="supervisor",
        pid=os.getpid(),
        state="ready",
        restarts=0,
        version=version("trunkline-supervisor"),
        detail={"metrics": metrics_url} if metrics_url else {},
    )

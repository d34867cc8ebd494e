"""The supervision tree of one node: servers start first, then services; they stop in the opposite order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

import structlog
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols.presence import (
    HEARTBEAT_TIMEOUT_S,
    SUPERVISOR,
    GetStatus,
    Presence,
    ProcessState,
    ProcessStatus,
    SuiteStatus,
)

from trunkline_supervisor.application.pool import Pool, stop_all
from trunkline_supervisor.core.errors import NotReadyError
from trunkline_supervisor.core.node import Node
from trunkline_supervisor.ports import Child, HealthPage

_log: Final = structlog.get_logger(__name__)
_POLL_INTERVAL_S: Final = 0.05
_ARCHIVE: Final = frozenset({"postgres", "audit"})


class Tree:
    """All processes of this node."""

    def __init__(self, presences: PresenceRegistry, answered: Callable[[Child], bool], node: Node) -> None:
        """`presences` receives the services' heartbeats; `answered` returns whether a server answers its probe."""
        self._presences = presences
        self._answered = answered
        self._node = node
        self.metrics_url = ""
        """Address of the metrics page of this node."""
        self.servers: list[Pool] = []
        """NATS and PostgreSQL: started before the services and stopped after them."""
        self.pools: list[Pool] = []
        """Services, in the order in which they are stopped."""

    async def wait_ready(self, timeout_s: float, *, archive_timeout_s: float) -> None:
        """Wait until every process is ready; raise `NotReadyError` after the timeout or if a pool has failed.

        PostgreSQL and audit keep no customer waiting: they delay the start by at most `archive_timeout_s`.
        """
        started = time.monotonic()
        while waiting := [entry for entry in self._entries() if entry[2].state != "ready"]:
            waited_s = time.monotonic() - started
            needed = [entry for entry in waiting if entry[2].service not in _ARCHIVE]
            if not needed and waited_s > archive_timeout_s:
                _log.error("archive.not_ready", instances=[status.instance for _, _, status in waiting])
                return
            for pool, child, status in needed[:1]:
                if pool.failure or waited_s > timeout_s:
                    reason = pool.failure or f"{status.state} after {timeout_s:g} s"
                    raise NotReadyError(f"{status.instance}: {reason}; see {child.log_file}")
            await asyncio.sleep(_POLL_INTERVAL_S)

    def reopen_logs(self) -> None:
        """Request every service to open its log file again."""
        for pool in self.pools:
            for child in pool.children:
                child.reopen_log()

    async def stop(self) -> None:
        """Stop from the edge to the core: ingress, conversation, agents, the other services, then the servers."""
        stages = ("ingress", "conversation", "agents")
        for stage in stages:
            await stop_all(child for pool in self.pools if pool.service == stage for child in pool.children)
        await stop_all(child for pool in self.pools if pool.service not in stages for child in pool.children)
        for server in reversed([child for pool in self.servers for child in pool.children]):
            await server.stop()

    def health_pages(self) -> list[HealthPage]:
        """Return the address of the pages of every service process."""
        return [
            HealthPage(pool.service, child.spec.name, current.http_url if (current := self._current(child)) else "")
            for pool in self.pools
            for child in pool.children
        ]

    async def status(self, _: GetStatus) -> SuiteStatus:
        """Return the status of every process."""
        processes = [_supervisor_status(self._node, self.metrics_url), *(status for _, _, status in self._entries())]
        return SuiteStatus(ready=all(process.state == "ready" for process in processes), processes=processes)

    def _entries(self) -> list[tuple[Pool, Child, ProcessStatus]]:
        return [
            (pool, child, self._process_status(pool, child))
            for pool in (*self.servers, *self.pools)
            for child in pool.children
        ]

    def _state(self, pool: Pool, child: Child) -> ProcessState:
        if not child.running:
            return "failed" if pool.failure else "restarting"
        if pool in self.servers:
            return "ready" if self._answered(child) else "starting"
        presence = self._presences.get(child.spec.instance)
        heartbeat_age_s = self._presences.heartbeat_age_s(child.spec.instance, child.pid)
        if presence is None or heartbeat_age_s is None:
            return "starting"
        return presence.state if heartbeat_age_s < HEARTBEAT_TIMEOUT_S else "failed"

    def _current(self, child: Child) -> Presence | None:
        """Return the last presence of the running process, None until it has sent one."""
        presence = self._presences.get(child.spec.instance)
        return presence if presence is not None and presence.pid == child.pid else None

    def _process_status(self, pool: Pool, child: Child) -> ProcessStatus:
        current = self._current(child)
        state = self._state(pool, child)
        reason = pool.failure if state == "failed" else ""
        return ProcessStatus(
            name=child.spec.name,
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
            node=self._node.name,
        )


def _supervisor_status(node: Node, metrics_url: str) -> ProcessStatus:
    return ProcessStatus(
        name=SUPERVISOR,
        service=SUPERVISOR,
        instance=node.instance(SUPERVISOR),
        pid=os.getpid(),
        state="ready",
        restarts=0,
        version=version("trunkline-supervisor"),
        detail={"metrics": metrics_url},
        node=node.name,
    )

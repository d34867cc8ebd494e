"""The supervision tree of one machine: servers first, then services; stopped in the opposite order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

import structlog
from trunkline_chassis.presence import SILENCE_S, Presences
from trunkline_protocols.presence import GetStatus, ProcessState, ProcessStatus, SuiteStatus

from trunkline_supervisor.child import Child
from trunkline_supervisor.errors import NotReadyError

_log: Final = structlog.get_logger(__name__)


class Tree:
    """All processes of the suite."""

    def __init__(self, presences: Presences) -> None:
        """`presences` is what the services say of themselves."""
        self._presences = presences
        self._servers: list[Child] = []
        self._services: list[Child] = []

    def add_server(self, child: Child) -> None:
        """Add a server (NATS, PostgreSQL): it is there before the services and after them."""
        self._servers.append(child)

    async def start_services(self, children: list[Child], spawn: Callable[[Child], None]) -> None:
        """Start all services at once; they wait for each other where they must."""
        self._services = children
        for child in children:
            await child.start()
            spawn(child)

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until every service has said that it is ready."""
        deadline = time.monotonic() + timeout_s
        while waiting := [child for child in self._services if self._state(child) != "ready"]:
            if time.monotonic() > deadline:
                child = waiting[0]
                raise NotReadyError(
                    f"{child.spec.instance} is {self._state(child)} after {timeout_s:g} s; see {child.log_file}"
                )
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop from the edge to the core: ingress, conversation, agents, the rest, then the servers."""
        stages = ("ingress", "conversation", "agents")
        for stage in stages:
            await _stop_all([child for child in self._services if child.spec.service == stage])
        await _stop_all([child for child in self._services if child.spec.service not in stages])
        for server in reversed(self._servers):
            await server.stop()

    async def status(self, _: GetStatus) -> SuiteStatus:
        """Tell the state of every process."""
        processes = [_own_status(), *(self._line(child) for child in (*self._servers, *self._services))]
        return SuiteStatus(ready=all(line.state == "ready" for line in processes), processes=processes)

    def _state(self, child: Child) -> ProcessState:
        if not child.running:
            return "restarting"
        if child in self._servers:
            return "ready"
        presence = self._presences.of(child.spec.instance)
        if presence is None or presence.pid != child.pid:
            return "starting"
        return presence.state if time.time() - presence.at < SILENCE_S else "failed"

    def _line(self, child: Child) -> ProcessStatus:
        presence = self._presences.of(child.spec.instance)
        current = presence if presence is not None and presence.pid == child.pid else None
        return ProcessStatus(
            name=child.spec.instance,
            service=child.spec.service,
            instance=child.spec.instance,
            pid=child.pid,
            state=self._state(child),
            restarts=child.restarts.total,
            version=current.version if current else "",
            queue_depth=current.queue_depth if current else 0,
            p50_ms=current.p50_ms if current else 0.0,
            p95_ms=current.p95_ms if current else 0.0,
            detail=current.detail if current else {},
        )


async def _stop_all(children: list[Child]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for child in children:
            tasks.create_task(child.stop())


def _own_status() -> ProcessStatus:
    return ProcessStatus(
        name="supervisor",
        service="supervisor",
        instance="supervisor",
        pid=os.getpid(),
        state="ready",
        restarts=0,
        version=version("trunkline-supervisor"),
    )

"""Processes of one kind: kept alive together, more or fewer as work demands, given up together in a crash loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from trunkline_supervisor.adapters.child import Child
from trunkline_supervisor.core.restarts import WITHIN_S, Intensity
from trunkline_supervisor.core.suite import PoolSpec, ProcessSpec

_log: Final = structlog.get_logger(__name__)
_ALERTS: Final = Counter("trunkline_alerts_total", "What somebody should look at", ["alert", "pool"])
_SIZE: Final = Gauge("trunkline_pool_processes", "Processes that a pool is to have", ["pool"])
_FAILED: Final = Gauge("trunkline_pool_failed", "1 for a pool that was given up after a crash loop", ["pool"])


class Pool:
    """The processes of one pool."""

    def __init__(
        self,
        name: str,
        service: str,
        *,
        make: Callable[[ProcessSpec, Callable[[str], bool]], Child],
        spawn: Callable[[Child], None],
        spec: PoolSpec | None = None,
    ) -> None:
        """`make` makes a child that asks the given function before every restart; `spawn` keeps it alive."""
        self.name = name
        self.service = service
        self.spec = spec
        self.children: list[Child] = []
        self.failure = ""
        """Why there are no more restarts; empty while all is well."""
        self._make = make
        self._spawn = spawn
        self._intensity = Intensity()
        _FAILED.labels(name).set(0)

    async def add(self, spec: ProcessSpec) -> Child:
        """Start one more process."""
        child = self._make(spec, self._may_live)
        self.children.append(child)
        _SIZE.labels(self.name).set(len(self.children))
        await child.start()
        self._spawn(child)
        return child

    async def resize(self, size: int) -> None:
        """Start or stop processes until there are so many; the last come go first, and finish their work."""
        if self.spec is None or self.failure:
            return
        while len(self.children) < size:
            await self.add(self.spec.process(len(self.children) + 1))
        leaving, self.children = self.children[size:], self.children[:size]
        _SIZE.labels(self.name).set(len(self.children))
        await stop_all(leaving)

    def _may_live(self, reason: str) -> bool:
        self._intensity = self._intensity.after_death(time.monotonic())
        if self.failure:
            return False
        if not self._intensity.is_crash_loop(len(self.children)):
            return True
        self.failure = f"{len(self._intensity.deaths)} deaths within {WITHIN_S:g} s, the last one {reason}"
        _FAILED.labels(self.name).set(1)
        _ALERTS.labels("crash_loop", self.name).inc()
        _log.critical("pool.failed", pool=self.name, reason=self.failure, see=str(self.children[-1].log_file))
        return False


async def stop_all(children: list[Child]) -> None:
    """Stop processes, all at once."""
    async with asyncio.TaskGroup() as tasks:
        for child in children:
            tasks.create_task(child.stop())

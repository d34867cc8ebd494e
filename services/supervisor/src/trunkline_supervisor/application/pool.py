"""A pool: processes of one kind that are scaled together, and given up together after a crash loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from trunkline_supervisor.core.blueprint import PoolSpec, ProcessSpec
from trunkline_supervisor.core.restarts import DEATH_WINDOW_S, RestartIntensity
from trunkline_supervisor.ports import Child

_log: Final = structlog.get_logger(__name__)
_ALERTS: Final = Counter("trunkline_alerts_total", "Alerts for the operator", ["alert", "pool"])
_SIZE: Final = Gauge("trunkline_pool_processes", "Desired number of processes", ["pool"])
_FAILED: Final = Gauge("trunkline_pool_failed", "1 if the pool was given up after a crash loop", ["pool"])


class Pool:
    """The processes of one pool."""

    def __init__(
        self,
        name: str,
        service: str,
        *,
        create: Callable[[ProcessSpec, Callable[[str], bool]], Child],
        supervise: Callable[[Child], None],
        spec: PoolSpec | None = None,
    ) -> None:
        """`create` makes a child that calls the given function before a restart; `supervise` keeps it alive.

        Without a `spec` the pool has a fixed size.
        """
        self.name = name
        self.service = service
        self.spec = spec
        self.children: list[Child] = []
        self.failure = ""
        """The reason why the pool was given up; empty if it was not."""
        self._create = create
        self._supervise = supervise
        self._intensity = RestartIntensity()
        _FAILED.labels(name).set(0)

    async def add(self, spec: ProcessSpec) -> Child:
        """Start one more process."""
        child = self._create(spec, self._may_restart)
        self.children.append(child)
        _SIZE.labels(self.name).set(len(self.children))
        await child.start()
        self._supervise(child)
        return child

    async def resize(self, size: int) -> None:
        """Start or stop processes to reach a size; the newest are stopped first and finish their work."""
        if self.spec is None or self.failure:
            return
        while len(self.children) < size:
            await self.add(self.spec.process(len(self.children) + 1))
        removed, self.children = self.children[size:], self.children[:size]
        _SIZE.labels(self.name).set(len(self.children))
        await stop_all(removed)

    def _may_restart(self, reason: str) -> bool:
        self._intensity = self._intensity.after_death(time.monotonic())
        if self.failure:
            return False
        if not self._intensity.is_crash_loop(len(self.children)):
            return True
        self.failure = f"{len(self._intensity.deaths)} deaths within {DEATH_WINDOW_S:g} s, the last one {reason}"
        _FAILED.labels(self.name).set(1)
        _ALERTS.labels("crash_loop", self.name).inc()
        log_file = str(self.children[-1].log_file) if self.children else ""
        _log.critical("pool.failed", pool=self.name, reason=self.failure, see=log_file)
        return False


async def stop_all(children: Iterable[Child]) -> None:
    """Stop processes in parallel."""
    async with asyncio.TaskGroup() as tasks:
        for child in children:
            tasks.create_task(child.stop())

"""Readiness of the suite as an ingress sees it: a message that is accepted now would be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from trunkline_chassis.errors import BusError

from trunkline_ingress.core.readiness import absent_parts, degraded_parts
from trunkline_ingress.ports import LiveProcesses, TopologyProbe

_log: Final = structlog.get_logger(__name__)
_MAX_AGE_S: Final = 1.0
"""Any caller may request the page: it costs the server a few requests per second at most."""


class SuiteReadiness:
    """Checks the streams and consumers of a turn and the services that take part in one, on request."""

    def __init__(
        self,
        is_process_ready: Callable[[], bool],
        topology: TopologyProbe,
        processes: LiveProcesses,
        *,
        clock: Callable[[], float],
    ) -> None:
        """`is_process_ready` returns whether this process is started and connected; `clock` returns seconds."""
        self._is_process_ready = is_process_ready
        self._topology = topology
        self._processes = processes
        self._clock = clock
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._absent: list[str] = []

    async def __call__(self) -> bool:
        """Return whether a message would be answered, with a delay of at most a second."""
        if not self._is_process_ready():
            return False
        async with self._lock:
            if self._clock() - self._checked_at >= _MAX_AGE_S:
                self._record(await self._check())
                self._checked_at = self._clock()
        return not self._absent

    @property
    def degraded(self) -> list[str]:
        """The services without a ready process that answers go on without."""
        return degraded_parts(self._processes.alive())

    async def _check(self) -> list[str]:
        try:
            missing = await self._topology.missing()
        except BusError:
            missing = ["JetStream"]
        return absent_parts(missing, self._processes.alive())

    def _record(self, absent: list[str]) -> None:
        if absent and absent != self._absent:
            _log.warning("readiness.lost", absent=absent)
        elif self._absent and not absent:
            _log.info("readiness.regained")
        self._absent = absent

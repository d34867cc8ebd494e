"""Queued work per pool: the depth from the heartbeats of its processes, the age of the oldest item from the queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import psutil
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols import streams, subjects
from trunkline_protocols.fleet import ALL_SPECIALTIES

from trunkline_supervisor.core.blueprint import PoolSpec
from trunkline_supervisor.core.scaling import PoolLoad

_SPECIALTY: Final = "TRUNKLINE_SPECIALTY"
_OF_A_TURN: Final = frozenset({"conversation", "agents", "rag", "llm_gateway"})
"""Services whose processes answer turns."""
_MAX_CPU_PERCENT: Final = 80.0
_TIMEOUT_S: Final = 1.0
_SHARED_S: Final = 0.5
"""An answer about the whole stream is shared by the pools that are measured within this time."""


class NatsQueueDepths:
    """Measures the load of pools."""

    def __init__(
        self, bus: Bus, presences: PresenceRegistry, *, cpu_percent: Callable[[], float] = psutil.cpu_percent
    ) -> None:
        """`presences` receives the heartbeats of the processes; `cpu_percent` returns the load since its last call."""
        self._bus = bus
        self._presences = presences
        self._is_empty = True
        self._server_ahead_s = 0.0
        """Difference of the clock that dates the queued work, that of the stream's leader, from the own one."""
        self._checked_at = self._cpu_at = float("-inf")
        self._measure_cpu_percent = cpu_percent
        cpu_percent()  # begins the first interval
        self._cpu_percent = 100.0

    async def load(self, pool: PoolSpec, now: float) -> PoolLoad:
        """Return the load of a pool at `now` in Unix seconds; zero if it cannot be measured."""
        instances = pool.instances
        depth = sum(
            presence.queue_depth for presence in self._presences.alive(pool.service) if presence.instance in instances
        )
        is_refused = pool.service in _OF_A_TURN and self._refuses() and self._has_idle_processors(now)
        specialty = pool.environment.get(_SPECIALTY)
        age_s = await self._oldest_age_s(specialty, now) if specialty is not None else 0.0
        return PoolLoad(depth, age_s, is_refused)

    def _refuses(self) -> bool:
        return any(presence.is_refusing for presence in self._presences.alive("ingress"))

    def _has_idle_processors(self, now: float) -> bool:
        """Return whether this machine had idle processors since the last round: else a process more would be slower."""
        if now - self._cpu_at >= _SHARED_S:
            self._cpu_at = now
            self._cpu_percent = self._measure_cpu_percent()
        return self._cpu_percent < _MAX_CPU_PERCENT

    async def _oldest_age_s(self, specialty: str, now: float) -> float:
        """Return the age of the oldest unclaimed work; an agent's acknowledgement removes work from the queue."""
        if await self._has_no_work(now):
            return 0.0
        queue = streams.WORK.subjects[0] if specialty == ALL_SPECIALTIES else subjects.work_any(specialty)
        query: dict[str, Any] = {"seq": 1, "next_by_subj": queue}
        try:
            reply = await self._bus.api(f"STREAM.MSG.GET.{streams.WORK.name}", query, timeout_s=_TIMEOUT_S)
        except BusError:
            return 0.0
        return max(0.0, now + self._server_ahead_s - datetime.fromisoformat(reply["message"]["time"]).timestamp())

    async def _has_no_work(self, now: float) -> bool:
        """Return whether the queues of all specialties are empty: one request answers for all pools of a round."""
        if now - self._checked_at >= _SHARED_S:
            self._checked_at = now
            try:
                info = await self._bus.api(f"STREAM.INFO.{streams.WORK.name}", {}, timeout_s=_TIMEOUT_S)
                self._is_empty = info["state"]["messages"] == 0
                self._server_ahead_s = datetime.fromisoformat(info["ts"]).timestamp() - time.time()
            except BusError:
                self._is_empty = False
        return self._is_empty

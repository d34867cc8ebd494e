"""How much work waits for a pool: as its processes say, and how old the oldest is in the work queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols import streams, subjects

from trunkline_supervisor.core.scaling import PoolLoad
from trunkline_supervisor.core.suite import PoolSpec

_SPECIALTY: Final = "TRUNKLINE_SPECIALTY"


class Queues:
    """Measures the load of pools."""

    def __init__(self, bus: Bus, presences: PresenceRegistry) -> None:
        """Use one connection for all."""
        self._bus = bus
        self._presences = presences

    async def load(self, pool: PoolSpec, now: float) -> PoolLoad:
        """Return what waits for a pool; `now` in Unix seconds. What cannot be asked counts as nothing."""
        beats = [
            presence
            for presence in self._presences.alive(pool.service)
            if presence.instance.rpartition("-")[0] == pool.name
        ]
        depth = sum(presence.queue_depth for presence in beats)
        specialty = pool.environment.get(_SPECIALTY)
        age_s = await self._oldest_s(specialty, now) if specialty is not None else 0.0
        return PoolLoad(depth, age_s)

    async def _oldest_s(self, specialty: str, now: float) -> float:
        """Age of the oldest work that nobody has taken; work is removed when it is taken."""
        query: dict[str, Any] = {"seq": 1, "next_by_subj": subjects.work_any(specialty)}
        try:
            reply = await self._bus.api(f"STREAM.MSG.GET.{streams.WORK.name}", query, timeout_s=1.0)
        except BusError:
            return 0.0
        return max(0.0, now - datetime.fromisoformat(reply["message"]["time"]).timestamp())

"""Gives every pool as many processes as its work needs, and pools to specialties that a new fleet brings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from trunkline_chassis.fleet_view import FleetView

from trunkline_supervisor.adapters.queues import Queues
from trunkline_supervisor.application.pool import Pool
from trunkline_supervisor.application.tree import Tree
from trunkline_supervisor.core.scaling import PoolScale, ScalingLimits, step
from trunkline_supervisor.core.suite import Blueprint, PoolSpec

_log: Final = structlog.get_logger(__name__)
_LOOK_EVERY_S: Final = 1.0


class Scaler:
    """Looks at the pools once a second."""

    def __init__(
        self,
        tree: Tree,
        queues: Queues,
        blueprint: Blueprint,
        fleets: FleetView,
        *,
        make_pool: Callable[[PoolSpec], Pool],
        grow_after_s: float,
        shrink_after_s: float,
    ) -> None:
        """`make_pool` makes an empty pool."""
        self._tree = tree
        self._queues = queues
        self._blueprint = blueprint
        self._fleets = fleets
        self._make_pool = make_pool
        self._grow_after_s = grow_after_s
        self._shrink_after_s = shrink_after_s
        self._scales: dict[str, PoolScale] = {}

    async def run(self) -> None:
        """PoolScale until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._meet_fleet()
            for pool in self._tree.pools:
                if pool.spec is not None and pool.spec.max_processes > pool.spec.min_processes and not pool.failure:
                    await self._scale(pool, pool.spec)

    async def _scale(self, pool: Pool, spec: PoolSpec) -> None:
        load = await self._queues.load(spec, time.time())
        limits = ScalingLimits(
            spec.min_processes, spec.max_processes, spec.queue_threshold, self._grow_after_s, self._shrink_after_s
        )
        before = self._scales.get(pool.name, PoolScale(len(pool.children)))
        scale = self._scales[pool.name] = step(before, load, limits, time.monotonic())
        if scale.size != len(pool.children):
            _log.info("pool.scaled", pool=pool.name, size=scale.size, depth=load.depth, age_s=round(load.age_s, 2))
            await pool.resize(scale.size)

    async def _meet_fleet(self) -> None:
        """Start processes for specialties that have come, stop those of specialties that are gone."""
        wanted = {spec.name: spec for spec in self._blueprint.pools(self._fleets.fleet.specialties)}
        for pool in list(self._tree.pools):
            if pool.service == "agents" and pool.name not in wanted:
                _log.info("pool.dissolved", pool=pool.name)
                self._tree.pools.remove(pool)
                await pool.resize(0)
        known = {pool.name for pool in self._tree.pools}
        for name, spec in wanted.items():
            if name not in known:
                _log.info("pool.founded", pool=name)
                pool = self._make_pool(spec)
                self._tree.pools.append(pool)
                await pool.resize(spec.min_processes)

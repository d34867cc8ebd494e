"""Autoscaling of pools, and creation and removal of agent pools when the fleet changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog
from trunkline_chassis.ticks import next_tick

from trunkline_supervisor.application.pool import Pool
from trunkline_supervisor.application.tree import Tree
from trunkline_supervisor.core.blueprint import Blueprint, PoolSpec
from trunkline_supervisor.core.scaling import PoolScale, ScalingLimits, next_scale
from trunkline_supervisor.ports import FleetSource, QueueDepths

_log: Final = structlog.get_logger(__name__)
_INTERVAL_S: Final = 1.0


class Scaler:
    """Adjusts the pools once a second."""

    def __init__(
        self,
        tree: Tree,
        queues: QueueDepths,
        blueprint: Blueprint,
        fleet: FleetSource,
        *,
        create_pool: Callable[[PoolSpec], Pool],
        grow_after_s: float,
        shrink_after_s: float,
    ) -> None:
        """`create_pool` creates an empty pool; the times are those of `ScalingLimits`."""
        self._tree = tree
        self._queues = queues
        self._blueprint = blueprint
        self._fleet = fleet
        self._create_pool = create_pool
        self._grow_after_s = grow_after_s
        self._shrink_after_s = shrink_after_s
        self._scales: dict[str, PoolScale] = {}

    async def run(self) -> None:
        """Adjust the pools until cancelled."""
        while True:
            await next_tick(_INTERVAL_S)
            await self.adjust()

    async def adjust(self) -> None:
        """Match the pools to the current fleet, then each pool's size to its load."""
        await self._follow_fleet()
        for pool in self._tree.pools:
            if pool.spec is not None and pool.spec.max_processes > pool.spec.min_processes and not pool.failure:
                await self._scale(pool, pool.spec)

    async def _scale(self, pool: Pool, spec: PoolSpec) -> None:
        load = await self._queues.load(spec, time.time())
        limits = ScalingLimits(
            spec.min_processes, spec.max_processes, spec.queue_threshold, self._grow_after_s, self._shrink_after_s
        )
        before = self._scales.get(pool.name, PoolScale(len(pool.children)))
        scale = self._scales[pool.name] = next_scale(before, load, limits, time.monotonic())
        if scale.size != len(pool.children):
            _log.info("pool.scaled", pool=pool.name, size=scale.size, depth=load.depth, age_s=round(load.age_s, 2))
            await pool.resize(scale.size)

    async def _follow_fleet(self) -> None:
        """Start a pool for every new specialty, stop the pools of removed ones."""
        wanted = {spec.name: spec for spec in self._blueprint.pools(self._fleet.specialties)}
        for pool in list(self._tree.pools):
            if pool.service == "agents" and pool.name not in wanted:
                _log.info("pool.removed", pool=pool.name)
                self._tree.pools.remove(pool)
                await pool.resize(0)
        known = {pool.name for pool in self._tree.pools}
        for name, spec in wanted.items():
            if name not in known:
                _log.info("pool.added", pool=name)
                pool = self._create_pool(spec)
                self._tree.pools.append(pool)
                await pool.resize(spec.min_processes)

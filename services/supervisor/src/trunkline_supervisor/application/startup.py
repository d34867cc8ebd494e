"""The start sequence of a suite: servers, connection to NATS, topology and fleet, services.

Every step registers its own end with the lifetime, so that a start that fails or is interrupted leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from trunkline_chassis.backoff import backoff_s
from trunkline_chassis.cancellation import wait_for_event
from trunkline_protocols.fleet import Fleet

from trunkline_supervisor.application.lifetime import Lifetime
from trunkline_supervisor.application.pool_factory import PoolFactory
from trunkline_supervisor.application.scaler import Scaler
from trunkline_supervisor.application.tree import Tree
from trunkline_supervisor.core.blueprint import Blueprint
from trunkline_supervisor.core.errors import SuiteError
from trunkline_supervisor.ports import BusConnector, FleetSource, ServerGroup, SuiteBus

_log: Final = structlog.get_logger(__name__)
_EMBEDDED_TIMEOUT_S: Final = 20.0
_EXTERNAL_TIMEOUT_S: Final = 7.0
_MIN_RETRY_DELAY_S: Final = 1.0
_MAX_RETRY_DELAY_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuitePlan:
    """The suite to start. Times in seconds."""

    fleet: Fleet
    nats: ServerGroup
    postgres: ServerGroup
    connector: BusConnector
    blueprint: Callable[[str, str, int], Blueprint]
    """Returns the blueprint for the addresses of NATS and PostgreSQL, and the copies of every replicated stream."""
    replicas: int | None
    """Copies of every replicated stream; None for one per embedded NATS server."""
    grow_after_s: float
    shrink_after_s: float
    ready_timeout_s: float
    archive_timeout_s: float = 10.0
    """Time to wait for PostgreSQL, without which the suite starts as well."""


class SuiteStartup:
    """Starts a suite."""

    def __init__(self, tree: Tree, pools: PoolFactory, lifetime: Lifetime, plan: SuitePlan) -> None:
        """`lifetime` ends in reverse order everything that is started here."""
        self._tree = tree
        self._pools = pools
        self._lifetime = lifetime
        self._plan = plan
        self._archive_prepared = asyncio.Event()

    async def run(self) -> None:
        """Start everything and return once every process is ready; raises `SuiteError` if one does not get ready."""
        plan = self._plan
        self._lifetime.on_end(self._tree.stop)
        async with asyncio.TaskGroup() as starting:
            nats = starting.create_task(self._start_servers(plan.nats))
            starting.create_task(self._start_servers(plan.postgres))
        nats_servers = nats.result()
        await plan.nats.wait_until_ready()
        self._lifetime.spawn(self._prepare_archive())
        # Servers of the operator are running or are not; embedded ones are starting.
        timeout_s = _EMBEDDED_TIMEOUT_S if nats_servers else _EXTERNAL_TIMEOUT_S
        bus = await self._lifetime.enter(plan.connector.connect(plan.nats.address, timeout_s=timeout_s))
        # Registered again, after the connection: children are stopped before it is closed.
        self._lifetime.on_end(self._tree.stop)
        replicas = plan.replicas or max(1, nats_servers)
        fleet = await bus.provision(plan.fleet, replicas=replicas)
        self._lifetime.spawn(bus.reconcile())
        await self._lifetime.enter(bus.serve_status(self._tree.status))
        await wait_for_event(self._archive_prepared, timeout_s=plan.archive_timeout_s)
        await self._start_services(bus, fleet, plan.blueprint(plan.nats.address, plan.postgres.address, replicas))
        await self._tree.wait_ready(plan.ready_timeout_s, archive_timeout_s=plan.archive_timeout_s)

    def reopen_logs(self) -> None:
        """Request every service to open its log file again."""
        self._tree.reopen_logs()

    async def _prepare_archive(self) -> None:
        """Prepare PostgreSQL, however long that takes: no customer waits for it, and audit catches up."""
        failures = 0
        while not self._archive_prepared.is_set():
            try:
                await self._plan.postgres.wait_until_ready()
            except SuiteError as error:
                failures += 1
                delay_s = backoff_s(failures, 1.0, min_s=_MIN_RETRY_DELAY_S, max_s=_MAX_RETRY_DELAY_S)
                _log.error("archive.start_delayed", reason=str(error), retry_in_s=delay_s)
                await asyncio.sleep(delay_s)
            else:
                self._archive_prepared.set()

    async def _start_servers(self, group: ServerGroup) -> int:
        """Return how many servers are embedded."""
        plans = await group.plan()
        for plan in plans:
            pool = self._pools.server(plan)
            self._tree.servers.append(pool)
            await pool.add(plan.spec)
        return len(plans)

    async def _start_services(self, bus: SuiteBus, fleet: FleetSource, blueprint: Blueprint) -> None:
        create_pool = partial(self._pools.service, peers=bus.peers)
        self._tree.pools = [create_pool(spec) for spec in blueprint.pools(fleet.specialties)]
        for pool in self._tree.pools:
            if pool.spec is not None:
                await pool.resize(pool.spec.min_processes)
        scaler = Scaler(
            self._tree,
            bus.queues,
            blueprint,
            fleet,
            create_pool=create_pool,
            grow_after_s=self._plan.grow_after_s,
            shrink_after_s=self._plan.shrink_after_s,
        )
        self._lifetime.spawn(scaler.run())


async def start_unless_stopped(start: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Run a start sequence; if `stop` is set first, cancel it and return False."""
    starting, stopped = asyncio.ensure_future(start), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return False
        starting.result()
        return True
    finally:
        stopped.cancel()

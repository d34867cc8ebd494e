"""The supervisor's connection to NATS: topology, fleet, status requests, queue depths, deaths of peers."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Final

import structlog
from nats import micro
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.errors import BusError
from trunkline_chassis.fleet_store import restore_fleet, seed_fleet
from trunkline_chassis.fleet_view import FleetView, follow_fleet
from trunkline_chassis.heartbeat import HEARTBEAT_INTERVAL_S, Heartbeat, initial_presence
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_chassis.presence import PresenceRegistry, publish_death
from trunkline_chassis.provision import TopologyOptions, create_missing, provision, provision_work
from trunkline_chassis.rpc import Responder
from trunkline_chassis.server_check import check_server
from trunkline_chassis.stream_limits import LimitsByName
from trunkline_chassis.topology_reconciler import TopologyReconciler
from trunkline_protocols import codec, subjects
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.presence import SUPERVISOR, GetStatus, ProcessState, SuiteStatus
from trunkline_protocols.topology import whole_topology

from trunkline_supervisor.adapters.queue_depths import NatsQueueDepths
from trunkline_supervisor.core.errors import SuiteError
from trunkline_supervisor.core.node import Node

_log: Final = structlog.get_logger(__name__)
_CLOSE_TIMEOUT_S: Final = 2.0
_CONFLICT_WINDOW_S: Final = 1.5 * HEARTBEAT_INTERVAL_S


class NatsConnector:
    """Connects the supervisor to NATS."""

    def __init__(
        self,
        presences: PresenceRegistry,
        tasks: asyncio.TaskGroup,
        *,
        region: str,
        node: Node,
        security: NatsSecurity,
        limits: LimitsByName,
        tags: Sequence[str],
    ) -> None:
        """`presences` receives the heartbeats of all processes; requests are handled in `tasks`."""
        self._presences = presences
        self._tasks = tasks
        self._region = region
        self._node = node
        self._security = security
        self._limits = limits
        self._tags = tags

    @asynccontextmanager
    async def connect(self, nats_url: str, *, timeout_s: float) -> AsyncIterator[NatsSuiteBus]:
        """Connect and follow the heartbeats; the connection is closed at the end of the context."""
        with _suite_errors():
            bus = await connect(nats_url, SUPERVISOR, security=self._security, timeout_s=timeout_s)
        try:
            with _suite_errors():
                await check_server(bus)
            await self._presences.watch(bus)
            if not self._node.is_alone:
                await self._refuse_taken_name()
            yield NatsSuiteBus(
                bus,
                self._presences,
                self._tasks,
                region=self._region,
                node=self._node,
                limits=self._limits,
                tags=self._tags,
            )
        finally:
            await bus.close()

    async def _refuse_taken_name(self) -> None:
        """Raise `SuiteError` if another supervisor has this name: each would replace the other's processes."""
        await asyncio.sleep(_CONFLICT_WINDOW_S)
        instance = self._node.instance(SUPERVISOR)
        if self._presences.get(instance) is not None:
            raise SuiteError(
                f"another suite on this NATS is node {self._node.name}; set TRUNKLINE_NODE to another name for one of "
                "them"
            )


@contextmanager
def _suite_errors() -> Iterator[None]:
    """Raise errors of NATS as errors of the suite: one line for the operator."""
    try:
        yield
    except BusError as error:
        raise SuiteError(str(error)) from error


class NatsSuiteBus:
    """The connection of one suite."""

    def __init__(
        self,
        bus: Bus,
        presences: PresenceRegistry,
        tasks: asyncio.TaskGroup,
        *,
        region: str,
        node: Node,
        limits: LimitsByName,
        tags: Sequence[str],
    ) -> None:
        """Use `NatsConnector` to create one."""
        self.queues = NatsQueueDepths(bus, presences)
        self.peers = NatsPeerPublisher(bus, presences)
        self._bus = bus
        self._tasks = tasks
        self._region = region
        self._instance = node.instance(SUPERVISOR)
        self._node = node
        self._limits = limits
        self._tags = tags
        self._maintained: tuple[TopologyReconciler, FleetView] | None = None

    async def provision(self, fleet: Fleet, *, replicas: int) -> FleetView:
        """Create streams, consumers and buckets; publish the fleet unless another one was applied by an operator."""
        with _suite_errors():
            await provision(
                self._bus,
                region=self._region,
                specialties=fleet.specialties,
                replicas=replicas,
                limits=self._limits,
                tags=self._tags,
            )
            current = await seed_fleet(self._bus, fleet, by="trunkline up")
            await provision_work(self._bus, current.fleet.specialties)
            view = await follow_fleet(self._bus)
        options = TopologyOptions(replicas=replicas, limits=self._limits, region=self._region, tags=self._tags)

        async def repair() -> list[str]:
            topology = whole_topology(self._region, view.specialties)
            created = await create_missing(self._bus, topology, options)
            await restore_fleet(self._bus, view.current)
            return created

        self._maintained = TopologyReconciler(self._bus, repair, jitter=random.random), view
        return view

    async def reconcile(self) -> None:
        """Keep topology and current fleet up to date until cancelled; requires `provision`."""
        if self._maintained is None:
            return
        async with asyncio.TaskGroup() as tasks:
            for each in self._maintained:
                tasks.create_task(each.run())

    @asynccontextmanager
    async def serve_status(self, handle: Callable[[GetStatus], Awaitable[SuiteStatus]]) -> AsyncIterator[None]:
        """Send heartbeats, and respond to status requests and to service discovery, until the end of the context."""
        release = version("trunkline-supervisor")
        latency = RecentLatency()
        responder = Responder(self._bus, SUPERVISOR, latency, self._tasks)
        await responder.serve(subjects.status(self._region, self._instance), codec.Decoder(GetStatus), handle)
        first = initial_presence(
            service=SUPERVISOR, instance=self._instance, node=self._node.name, version=release, http_url=""
        )
        heartbeat = Heartbeat(self._bus, first, latency)
        beating = self._tasks.create_task(heartbeat.run())
        try:
            await heartbeat.publish("ready")
            await micro.add_service(
                self._bus.client,
                name="trunkline-supervisor",
                version=release,
                metadata={"instance": self._instance},
            )
            yield
        finally:
            await cancel_and_wait([beating])
            with contextlib.suppress(BusError):
                await heartbeat.publish("stopped")
            await responder.close(_CLOSE_TIMEOUT_S)


class NatsPeerPublisher:
    """Publishes deaths in KV PRESENCE."""

    def __init__(self, bus: Bus, presences: PresenceRegistry) -> None:
        """`presences` holds the last heartbeat of the dead process."""
        self._bus = bus
        self._presences = presences

    async def publish_death(self, instance: str, state: ProcessState) -> None:
        """Publish a death, best effort; nothing if the process never sent a heartbeat."""
        presence = self._presences.get(instance)
        if presence is None:
            return
        try:
            await publish_death(self._bus, presence, state)
        except BusError as error:
            _log.warning("child.death_publish_failed", instance=instance, error=str(error))

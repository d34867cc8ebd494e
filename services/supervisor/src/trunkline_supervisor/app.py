"""`trunkline up`: the whole suite on one machine, in the foreground."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog
from nats import micro
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.errors import BusError
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import seed_fleet
from trunkline_chassis.fleet_view import follow_fleet
from trunkline_chassis.health import HealthServer
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.logs import configure_logs
from trunkline_chassis.presence import PresenceRegistry, publish_death
from trunkline_chassis.provision import provision, provision_work
from trunkline_chassis.rpc import Responder
from trunkline_chassis.topology_reconciler import TopologyReconciler
from trunkline_protocols import subjects
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.presence import GetStatus, ProcessState

from trunkline_supervisor.adapters import postgres
from trunkline_supervisor.adapters.child import Child
from trunkline_supervisor.adapters.disk import wait_for_room
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command, plan_nodes
from trunkline_supervisor.adapters.probes import Probe, answers_sql
from trunkline_supervisor.adapters.queues import Queues
from trunkline_supervisor.adapters.tcp import free_port
from trunkline_supervisor.application.health_monitor import HealthMonitor
from trunkline_supervisor.application.pool import Pool
from trunkline_supervisor.application.scaler import Scaler
from trunkline_supervisor.application.tree import Tree
from trunkline_supervisor.core.errors import SuiteError
from trunkline_supervisor.core.suite import Addresses, Blueprint, PoolSpec, ProcessSpec, Sizes
from trunkline_supervisor.settings import SuiteSettings, inherited_environment

_log: Final = structlog.get_logger(__name__)
_HOST: Final = "127.0.0.1"
_NATS_PATIENCE_S: Final = 2.5
_POSTGRES_PATIENCE_S: Final = 10.0
"""PostgreSQL may be busy, and nobody waits for it."""
_CLOSE_TIMEOUT_S: Final = 2.0
_ROOM_PATIENCE_S: Final = 10.0
"""So seldom it dies of a full disk that it is never given up for it."""


async def run_suite(settings: SuiteSettings, announce: Callable[[str], None]) -> None:
    """Run everything until SIGINT or SIGTERM. `announce` gets the address once a message can be answered."""
    try:
        await _run(settings, announce)
    except BaseExceptionGroup as group:
        reason = group.subgroup(SuiteError)
        if reason is None:
            raise
        raise _first(reason) from None


async def _run(settings: SuiteSettings, announce: Callable[[str], None]) -> None:
    fleet = load_fleet(settings.fleet_dir)
    port = _claim_port(settings.http_port)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log_dir = settings.data_dir / "logs"
    log_dir.mkdir(exist_ok=True)
    stop = _stop_signal()
    with _only_one(settings.data_dir), (log_dir / "supervisor.log").open("a", encoding="utf-8") as log:
        configure_logs(service="supervisor", instance="supervisor", level="info", style="json", stream=log)
        async with AsyncExitStack() as stack:
            background = await stack.enter_async_context(asyncio.TaskGroup())
            suite = _Suite(settings, log_dir, stack, background)
            starting = asyncio.ensure_future(suite.start(fleet, port))
            stopped = asyncio.ensure_future(stop.wait())
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting})
                return
            starting.result()
            announce(f"http://{_HOST}:{port}")
            await stopped


class _Suite:
    """What is running, and how to end it: everything that starts registers its own end on the stack."""

    def __init__(
        self, settings: SuiteSettings, log_dir: Path, stack: AsyncExitStack, background: asyncio.TaskGroup
    ) -> None:
        self._settings = settings
        self._log_dir = log_dir
        self._stack = stack
        self._environment = inherited_environment()
        self._presences = PresenceRegistry()
        self._watch = HealthMonitor(self._presences)
        self._metrics_url = ""
        self._tree = Tree(self._presences, self._watch.answered, lambda: self._metrics_url)
        self._background = background
        self._bus: Bus | None = None

    async def start(self, fleet: Fleet, port: int) -> None:
        settings = self._settings
        nodes = self._nodes()
        self._stack.push_async_callback(self._watch.close)
        self._stack.push_async_callback(self._tree.stop)
        async with asyncio.TaskGroup() as servers:
            nats_url = servers.create_task(self._nats(nodes))
            dsn = servers.create_task(self._postgres())
        addresses = Addresses(
            nats_url=nats_url.result(),
            postgres_dsn=dsn.result(),
            milvus_uri=settings.milvus_uri or str((settings.data_dir / "milvus").absolute()),
            backup_url=settings.backup_url or str((settings.data_dir / "backups").absolute()),
            http_port=port,
            resume_secret=_kept_secret(settings.data_dir / "secrets" / "resume"),
        )
        self._bus = bus = await connect(addresses.nats_url, "supervisor")
        self._stack.push_async_callback(bus.close)
        # Closed after the children: they still say goodbye.
        self._stack.push_async_callback(self._tree.stop)
        replicas = settings.replicas or max(1, len(nodes))
        await provision(bus, region=settings.region, specialties=fleet.specialties, replicas=replicas)
        in_force = await seed_fleet(bus, fleet, by="trunkline up")
        await provision_work(bus, in_force.fleet.specialties)
        self._spawn(TopologyReconciler(bus, region=settings.region, replicas=replicas).run())
        await self._presences.watch(bus)
        await self._serve_metrics()
        await self._answer_status(bus)
        await self._services(bus, addresses)
        await self._tree.wait_ready(settings.ready_timeout_s)

    async def _services(self, bus: Bus, addresses: Addresses) -> None:
        settings = self._settings
        blueprint = Blueprint(settings.region, settings.fleet_dir.absolute(), addresses, _sizes(settings))
        fleets = await follow_fleet(bus)
        self._tree.pools = [self._pool(spec) for spec in blueprint.pools(fleets.fleet.specialties)]
        for pool in self._tree.pools:
            if pool.spec is not None:
                await pool.resize(pool.spec.min_processes)
        scaler = Scaler(
            self._tree,
            Queues(bus, self._presences),
            blueprint,
            fleets,
            make_pool=self._pool,
            grow_after_s=settings.grow_after_s,
            shrink_after_s=settings.shrink_after_s,
        )
        self._spawn(fleets.run())
        self._spawn(scaler.run())

    def _nodes(self) -> list[NatsNode]:
        """Return the embedded NATS servers; none where others are given."""
        settings = self._settings
        if settings.nats_url is None:
            return plan_nodes((settings.data_dir / "nats").absolute(), settings.nodes)
        if settings.nodes is not None:
            raise SuiteError("--nodes starts NATS servers, and TRUNKLINE_NATS_URL names others: give one of them")
        return []

    async def _nats(self, nodes: list[NatsNode]) -> str:
        for node in nodes:
            await self._server(
                ProcessSpec("nats", node.name, nats_server_command(node, nodes)),
                probe=self._watch.nats(node),
                patience_s=_NATS_PATIENCE_S,
            )
        return self._settings.nats_url or ",".join(node.url for node in nodes)

    async def _postgres(self) -> str:
        if self._settings.postgres_dsn is not None:
            return self._settings.postgres_dsn
        folder = (self._settings.data_dir / "postgres").absolute()
        await asyncio.to_thread(postgres.initialise, folder)
        port = free_port()
        command = await asyncio.to_thread(postgres.postgres_command, folder, port=port)

        def prepare() -> None:
            wait_for_room(folder, _ROOM_PATIENCE_S)
            postgres.postgres_command(folder, port=port)

        await self._server(
            ProcessSpec("postgres", "postgres-1", command, stop_signal="SIGINT"),
            prepare=prepare,
            probe=lambda: answers_sql(port),
            patience_s=_POSTGRES_PATIENCE_S,
        )
        await postgres.wait_until_ready(port)
        return postgres.dsn(port)

    async def _server(
        self,
        spec: ProcessSpec,
        *,
        probe: Probe,
        patience_s: float,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """Start a server: a pool of its own, which gives up alone."""

        def make(spec: ProcessSpec, may_live: Callable[[str], bool]) -> Child:
            return self._child(spec, may_live, prepare)

        def spawn(child: Child) -> None:
            self._background.create_task(child.keep_alive())
            self._spawn(self._watch.server(child, probe, patience_s))

        pool = Pool(spec.instance, spec.service, make=make, spawn=spawn)
        self._tree.servers.append(pool)
        await pool.add(spec)

    def _pool(self, spec: PoolSpec) -> Pool:
        def make(spec: ProcessSpec, may_live: Callable[[str], bool]) -> Child:
            def hear_of_death(reason: str) -> bool:
                again = may_live(reason)
                self._background.create_task(self._tell_death(spec.instance, "restarting" if again else "failed"))
                return again

            return self._child(spec, hear_of_death)

        def spawn(child: Child) -> None:
            self._background.create_task(child.keep_alive())
            self._spawn(self._watch.service(child))

        return Pool(spec.name, spec.service, make=make, spawn=spawn, spec=spec)

    async def _tell_death(self, instance: str, state: ProcessState) -> None:
        presence = self._presences.get(instance)
        if presence is None or self._bus is None:
            return
        try:
            await publish_death(self._bus, presence, state)
        except BusError as error:
            _log.warning("child.death_untold", instance=instance, error=str(error))

    def _child(
        self, spec: ProcessSpec, may_live: Callable[[str], bool], prepare: Callable[[], object] = lambda: None
    ) -> Child:
        return Child(spec, environment=self._environment, log_dir=self._log_dir, prepare=prepare, may_live=may_live)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something until the suite stops."""
        self._stack.push_async_callback(cancel_and_wait, [self._background.create_task(work)])

    async def _serve_metrics(self) -> None:
        server = HealthServer(_HOST, self._settings.metrics_port, lambda: True)
        self._metrics_url = f"{await server.start()}/metrics"
        self._stack.push_async_callback(server.stop)

    async def _answer_status(self, bus: Bus) -> None:
        responder = Responder(bus, "supervisor", RecentLatency(), self._background)
        decoder = msgspec.json.Decoder(GetStatus)
        await responder.serve(subjects.status(self._settings.region), decoder, self._tree.status)
        self._stack.push_async_callback(responder.close, _CLOSE_TIMEOUT_S)
        await micro.add_service(bus.client, name="trunkline-supervisor", version="0.1.0")


def _first(group: BaseExceptionGroup[SuiteError]) -> SuiteError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _sizes(settings: SuiteSettings) -> Sizes:
    # One process only may open the folder of the embedded Milvus.
    embedded = settings.milvus_uri is None or "://" not in settings.milvus_uri
    return Sizes(
        ingress=settings.ingress_processes_min,
        conversation=(settings.conversation_processes_min, settings.conversation_processes_max),
        agents=(settings.agents_processes_min, settings.agents_processes_max),
        rag=(1, 1) if embedded else (settings.rag_processes_min, settings.rag_processes_max),
        llm_gateway=(settings.llm_gateway_processes_min, settings.llm_gateway_processes_max),
    )


def _claim_port(port: int) -> int:
    """Return a free port for the ingress; complain while it is still easy to understand."""
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise SuiteError(f"port {port} is in use; choose another one with --port") from error
    return port


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data directory: two suites in one would destroy each other's state."""
    with (data_dir / "lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SuiteError(f"another suite runs in {data_dir}; choose another one with --data-dir") from error
        yield


def _kept_secret(file: Path) -> str:
    """Read a secret, or draw one and keep it, readable by its owner only."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(secrets.token_hex(32))
    return file.read_text(encoding="utf-8").strip()


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop

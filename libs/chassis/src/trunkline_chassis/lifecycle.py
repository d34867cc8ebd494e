"""The lifecycle of a process: ordered startup, readiness, run until a stop signal, shutdown in reverse order.

A service is an async context manager over a `Process`: entering wires and starts it, leaving drains it. Its
background tasks belong to the process' TaskGroup; if one fails, the process ends with an error and its supervisor
restarts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

import structlog
import uvloop
from nats import micro

from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.certificates import CertificateMonitor
from trunkline_chassis.errors import BusConfigError, BusError, BusUnavailableError
from trunkline_chassis.file_limit import FileLimitMonitor, raise_file_limit
from trunkline_chassis.health import HealthServer
from trunkline_chassis.heartbeat import Heartbeat, initial_presence
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.log_files import LogFiles
from trunkline_chassis.logs import configure_logs
from trunkline_chassis.notices import Notices
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.residency import Borders, draining
from trunkline_chassis.service_topology import ServiceTopology
from trunkline_chassis.settings import ProcessSettings, SystemdSettings
from trunkline_chassis.startup import connect_when_available, retry_start
from trunkline_chassis.suite_clock import SuiteClock
from trunkline_chassis.ticks import next_tick
from trunkline_chassis.topology_reconciler import TopologyReconciler
from trunkline_chassis.tracing import tracer
from trunkline_chassis.tracing.exporter import SpanExporter
from trunkline_chassis.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from trunkline_protocols.ids import Instance
    from trunkline_protocols.presence import ProcessState

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

_CONNECTION_CHECK_S: Final = 1.0

S = TypeVar("S", bound=ProcessSettings)


@dataclass(slots=True)
class Readiness:
    """The readiness of a process: started, not draining, connected, with its streams and consumers."""

    started: bool = False
    bus: Bus | None = None
    """None until the first connection."""
    topology: TopologyReconciler | None = None
    is_working: Callable[[], bool] = lambda: True
    """Set by a service that depends on more than NATS."""

    def __call__(self) -> bool:
        """Return whether the process is ready, as in `/readyz`."""
        return (
            self.started
            and self.bus is not None
            and self.bus.client.is_connected
            and (self.topology is None or self.topology.is_complete)
            and self.is_working()
        )


@dataclass(slots=True)
class Process(Generic[S]):
    """The collaborators that a service receives from the chassis."""

    name: str
    instance: Instance
    settings: S
    bus: Bus
    readiness: Readiness
    heartbeat: Heartbeat
    presences: PresenceRegistry
    """Empty unless the service watches presences."""
    clock: SuiteClock
    """The time of the suite; that of the host unless the service watches presences."""
    latency: RecentLatency
    notices: Notices
    topology: ServiceTopology
    borders: Borders
    group: asyncio.TaskGroup
    background: list[asyncio.Task[None]] = field(default_factory=list)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run a background task until the process stops; its failure ends the process."""
        self.background.append(self.group.create_task(work))


Service: TypeAlias = "Callable[[Process[S]], AbstractAsyncContextManager[None]]"


HealthAddress: TypeAlias = tuple[str, int]
"""Host and port."""


@dataclass(frozen=True, slots=True)
class _Options:
    """Arguments of `run`."""

    health: HealthAddress
    watches_presences: bool


def run(
    name: str,
    settings: S,
    service: Service[S],
    *,
    health: HealthAddress | None = None,
    watches_presences: bool = False,
) -> None:
    """Run a service until SIGTERM or SIGINT.

    `health`: address of the health endpoints, if the service itself serves `http_port`. `watches_presences`: it needs
    the presences of all processes; every heartbeat would wake it, so others go without.
    """
    instance = settings.instance_name(name)
    configure_logs(
        service=name, instance=instance, region=settings.region, level=settings.log_level, style=settings.log_format
    )
    raise_file_limit()
    # A stop signal before the process is ready cancels its start, which is not a failure.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(asyncio.CancelledError):
        try:
            address = health or (settings.http_host, settings.http_port)
            options = _Options(address, watches_presences)
            runner.run(_run_process(name, instance, settings, service, options))
        except (BusConfigError, BusUnavailableError) as error:
            # Only the start raises them outside of an exception group.
            _log.critical("process.start_failed", reason=str(error))
            sys.exit(f"trunkline: {error}")


async def _run_process(
    name: str,
    instance: Instance,
    settings: S,
    service: Service[S],
    options: _Options,
) -> None:
    stop = _StopSignal()
    async with AsyncExitStack() as stack:
        stack.enter_context(Watchdog(SystemdSettings()))
        readiness = Readiness()
        health = HealthServer(*options.health, readiness)
        http_url = await retry_start(health.start)
        stack.push_async_callback(health.stop)
        bus = await connect_when_available(settings, instance, principal=name)
        stack.push_async_callback(bus.close)
        presences = PresenceRegistry()
        if options.watches_presences:
            await presences.watch(bus)
        clock = SuiteClock(presences)
        topology = ServiceTopology(bus, name, settings)
        reconciler = TopologyReconciler(bus, topology.repair, jitter=random.random)
        readiness.bus, readiness.topology = bus, reconciler
        await retry_start(reconciler.reconcile)
        # Before any request is served, so that no active notice is missed.
        notices = Notices(bus, region=settings.region, service=name, instance=instance, now=clock.time)
        await retry_start(notices.start)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        release = version(f"trunkline-{name.replace('_', '-')}")
        latency = RecentLatency()
        first = initial_presence(
            service=name, instance=instance, node=settings.node, version=release, http_url=http_url
        )
        heartbeat = Heartbeat(bus, first, latency)
        borders = Borders(bus, region=settings.region, service=name, instance=instance)
        process = Process(
            name,
            instance,
            settings,
            bus,
            readiness,
            heartbeat,
            presences,
            clock,
            latency,
            notices,
            topology,
            borders,
            group,
        )
        for work in (heartbeat.run(), notices.run(), borders.run(), reconciler.run(), FileLimitMonitor().run()):
            process.spawn(work)
        process.spawn(end_with_connection(bus))
        files = {"client": settings.nats_cert, "authority": settings.nats_ca}
        process.spawn(CertificateMonitor(files, lambda: bus.server_certificate).run())
        exporter = _span_exporter(process, release)
        if exporter is not None:
            tracer.turn_on(exporter.add, sampling=settings.traces_sampling)
            process.spawn(exporter.run())
        async with draining(borders), service(process):
            await micro.add_service(
                bus.client, name=f"trunkline-{name}", version=release, metadata={"instance": instance}
            )
            _tune_garbage_collection()
            readiness.started = True
            await heartbeat.publish("ready")
            _log.info("process.ready", version=release, http=http_url)
            await stop.wait()
            readiness.started = False
            await _publish(heartbeat, "draining")
            _log.info("process.draining")
        await cancel_and_wait(process.background)
        if exporter is not None:
            tracer.turn_off()
            await exporter.close()
        await _publish(heartbeat, "stopped")
        _log.info("process.stopped")


async def end_with_connection(bus: Bus) -> None:
    """Wait until the client has closed its connection for good; raise `BusUnavailableError`, which ends the process.

    nats-py reconnects without a limit, but an error that meets it between two states closes it. Its process would stay,
    serve nothing, and look alive to systemd.
    """
    while not bus.client.is_closed:
        await next_tick(_CONNECTION_CHECK_S)
    _log.critical("bus.closed")
    raise BusUnavailableError("the NATS client has closed its connection")


def _span_exporter(process: Process[S], release: str) -> SpanExporter | None:
    """Return the exporter of this process, None if traces are off."""
    settings = process.settings
    if not settings.traces_url:
        return None
    resource = {
        "service.namespace": "trunkline",
        "service.name": process.name,
        "service.version": release,
        "service.instance.id": process.instance,
        "host.name": settings.node,
        "trunkline.region": settings.region,
    }
    return SpanExporter(settings.traces_url, resource, authorization=settings.traces_authorization.get_secret_value())


class _StopSignal:
    """SIGTERM and SIGINT: they stop a ready process, and cancel the start of one that is not ready yet.

    SIGHUP opens the log file again.
    """

    def __init__(self) -> None:
        self._received = asyncio.Event()
        self._started = False
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, LogFiles().reopen)

    async def wait(self) -> None:
        """Wait for a stop signal; from now on a signal no longer cancels the start."""
        self._started = True
        await self._received.wait()

    def _on_signal(self) -> None:
        self._received.set()
        if not self._started and self._task is not None:
            self._task.cancel()


async def _publish(heartbeat: Heartbeat, state: ProcessState) -> None:
    try:
        await heartbeat.publish(state)
    except BusError as error:
        _log.warning("process.publish_failed", state=state, error=str(error))


def _tune_garbage_collection() -> None:
    """Exclude the objects loaded at startup from later collections: they cause most of the p99 tail."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

"""Ports of the supervisor: child processes, health probes, servers of the suite, and its connection to NATS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trunkline_protocols.fleet import Fleet
from trunkline_protocols.presence import GetStatus, ProcessState, SuiteStatus

from trunkline_supervisor.core.blueprint import PoolSpec, ProcessSpec
from trunkline_supervisor.core.restarts import Restarts
from trunkline_supervisor.core.scaling import PoolLoad


class Child(Protocol):
    """A supervised process."""

    @property
    def spec(self) -> ProcessSpec:
        """Its specification."""
        ...

    @property
    def restarts(self) -> Restarts:
        """Its restarts so far."""
        ...

    @property
    def pid(self) -> int:
        """Its process id, 0 while it is not running."""
        ...

    @property
    def running(self) -> bool:
        """True while the process exists."""
        ...

    @property
    def running_s(self) -> float:
        """Seconds since its last start."""
        ...

    @property
    def stopping(self) -> bool:
        """True once it was requested to stop; it is not restarted then."""
        ...

    @property
    def log_file(self) -> Path:
        """The file that its output goes to."""
        ...

    def reopen_log(self) -> None:
        """Request it to open its log file again, if it is running."""
        ...

    async def start(self) -> None:
        """Start it, unless it was requested to stop."""
        ...

    async def keep_alive(self) -> None:
        """Restart it after every death until it is stopped or its pool gives up."""
        ...

    def replace(self, reason: str) -> None:
        """Kill it; it is restarted as after any other death."""
        ...

    async def stop(self) -> None:
        """Request it to stop; kill it after its stop timeout."""
        ...


class ProcessLauncher(Protocol):
    """Factory of child processes."""

    def create(
        self,
        spec: ProcessSpec,
        *,
        may_restart: Callable[[str], bool],
        prepare: Callable[[], object] = lambda: None,
    ) -> Child:
        """Create a child that is not started yet.

        `prepare` runs in a thread before every start. `may_restart` is called after every death with its reason; if it
        returns False, the child is not started again.
        """
        ...


class Probe(Protocol):
    """Health check of one server."""

    async def __call__(self) -> bool:
        """Return whether the server answered; any answer counts, including an error."""
        ...


class PageProbe(Protocol):
    """Health check of services over HTTP."""

    async def answers(self, url: str) -> bool:
        """Return whether a page was answered; any status counts."""
        ...


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """A server process with its health check."""

    spec: ProcessSpec
    probe: Probe
    timeout_s: float
    """Seconds without an answer after which it is replaced."""
    prepare: Callable[[], object] = lambda: None
    """Runs in a thread before every start."""


@dataclass(frozen=True, slots=True)
class HealthPage:
    """Health and metrics of a service process."""

    service: str
    process: str
    url: str
    """Empty until the process has published it."""


class ServerGroup(Protocol):
    """Servers of one kind that the suite depends on: embedded processes, or external ones."""

    async def plan(self) -> Sequence[ServerPlan]:
        """Prepare the data directory and return the processes to start; none if the servers are external."""
        ...

    @property
    def address(self) -> str:
        """The address for clients, known after `plan`."""
        ...

    async def wait_until_ready(self) -> None:
        """Wait until commands are accepted; raises `SuiteError` if that takes too long."""
        ...


class QueueDepths(Protocol):
    """Measurement of queued work."""

    async def load(self, pool: PoolSpec, now: float) -> PoolLoad:
        """Return the load of a pool at `now` in Unix seconds; zero if it cannot be measured."""
        ...


class PeerPublisher(Protocol):
    """Publication of deaths to the other processes."""

    async def publish_death(self, instance: str, state: ProcessState) -> None:
        """Publish a death, best effort, so that peers do not wait for its heartbeat to time out."""
        ...


class FleetSource(Protocol):
    """The specialties of the current fleet."""

    @property
    def specialties(self) -> list[str]:
        """Those of the served version and of a candidate; changes when another version is applied."""
        ...


class SuiteBus(Protocol):
    """The supervisor's connection to NATS."""

    @property
    def queues(self) -> QueueDepths:
        """Measurement of queued work."""
        ...

    @property
    def peers(self) -> PeerPublisher:
        """Publication of deaths."""
        ...

    async def provision(self, fleet: Fleet, *, replicas: int) -> FleetSource:
        """Create streams, consumers and buckets; publish the fleet unless another one was applied by an operator."""
        ...

    async def reconcile(self) -> None:
        """Keep topology and current fleet up to date until cancelled."""
        ...

    def serve_status(self, handle: Callable[[GetStatus], Awaitable[SuiteStatus]]) -> AbstractAsyncContextManager[None]:
        """Respond to status requests until the end of the context."""
        ...


class BusConnector(Protocol):
    """Factory of the connection to NATS."""

    def connect(self, nats_url: str, *, timeout_s: float) -> AbstractAsyncContextManager[SuiteBus]:
        """Connect within `timeout_s` seconds; the connection is closed at the end of the context."""
        ...

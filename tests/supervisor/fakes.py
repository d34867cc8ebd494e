"""Fakes of the supervisor's ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.presence import GetStatus, Presence, ProcessState, SuiteStatus
from trunkline_supervisor.core.blueprint import PoolSpec, ProcessSpec
from trunkline_supervisor.core.restarts import Restarts
from trunkline_supervisor.core.scaling import PoolLoad
from trunkline_supervisor.ports import ServerPlan


class FakeChild:
    """A child without a process: `die` plays a death, and every start gets a new pid."""

    _next_pid = 1000

    def __init__(self, spec: ProcessSpec, may_restart: Callable[[str], bool], journal: list[str]) -> None:
        self.spec = spec
        self.restarts = Restarts()
        self.pid = 0
        self.running_s = 0.0
        self.stopping = False
        self.log_file = Path(f"{spec.instance}.log")
        self.replaced: list[str] = []
        self._may_restart = may_restart
        self._journal = journal
        self._stopped = asyncio.Event()

    @property
    def running(self) -> bool:
        return self.pid != 0

    def reopen_log(self) -> None:
        self._journal.append(f"reopen {self.spec.instance}")

    async def start(self) -> None:
        FakeChild._next_pid += 1
        self.pid = FakeChild._next_pid
        self._journal.append(f"start {self.spec.instance}")

    async def keep_alive(self) -> None:
        await self._stopped.wait()

    def replace(self, reason: str) -> None:
        self.replaced.append(reason)

    async def stop(self) -> None:
        if not self.stopping:
            self._journal.append(f"stop {self.spec.instance}")
        self.stopping, self.pid = True, 0
        self._stopped.set()

    def die(self, reason: str = "killed by SIGKILL") -> bool:
        self.pid = 0
        return self._may_restart(reason)


class FakeLauncher:
    """Creates fake children; `journal` lists all starts and stops in order."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.children: dict[str, FakeChild] = {}

    def create(
        self, spec: ProcessSpec, *, may_restart: Callable[[str], bool], prepare: Callable[[], object] = lambda: None
    ) -> FakeChild:
        child = self.children[spec.instance] = FakeChild(spec, may_restart, self.journal)
        return child


class FakePresences(PresenceRegistry):
    """Heartbeats as the test sets them: presence and age in seconds per instance."""

    def __init__(self) -> None:
        super().__init__()
        self.presence_by_instance: dict[str, tuple[Presence, float]] = {}

    def beat(self, child: FakeChild, *, state: ProcessState = "ready", age_s: float = 0.0) -> None:
        presence = Presence(
            service=child.spec.service,
            instance=child.spec.instance,
            pid=child.pid,
            state=state,
            version="0",
            node="test",
            http_url=f"http://{child.spec.instance}",
            started_at=0.0,
            at=0.0,
        )
        self.presence_by_instance[child.spec.instance] = presence, age_s

    def alive(self, service: str | None = None) -> list[Presence]:
        return [presence for presence, _ in self.presence_by_instance.values() if service in {None, presence.service}]

    def heartbeat_age_s(self, instance: str, pid: int) -> float | None:
        presence, age_s = self.presence_by_instance.get(instance, (None, 0.0))
        return age_s if presence is not None and presence.pid == pid else None

    def get(self, instance: str) -> Presence | None:
        return self.presence_by_instance[instance][0] if instance in self.presence_by_instance else None


class FakeProbe:
    """A probe, of pages too, that succeeds while `healthy` is true."""

    def __init__(self) -> None:
        self.healthy = True
        self.urls: list[str] = []

    async def __call__(self) -> bool:
        return self.healthy

    async def answers(self, url: str) -> bool:
        self.urls.append(url)
        return self.healthy


class FakeFleet:
    """A fleet that the test replaces."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    @property
    def specialties(self) -> list[str]:
        return self.fleet.specialties


class FakeQueues:
    """Loads as the test sets them, per pool; zero by default."""

    def __init__(self) -> None:
        self.loads: dict[str, PoolLoad] = {}

    async def load(self, pool: PoolSpec, now: float) -> PoolLoad:
        return self.loads.get(pool.name, PoolLoad(0))


class FakePeers:
    """Collects the published deaths."""

    def __init__(self) -> None:
        self.deaths: list[tuple[str, ProcessState]] = []

    async def publish_death(self, instance: str, state: ProcessState) -> None:
        self.deaths.append((instance, state))


class FakeBus:
    """A connection to NATS and its connector; records its calls in the launcher's journal."""

    def __init__(self, journal: list[str]) -> None:
        self.queues = FakeQueues()
        self.peers = FakePeers()
        self.replicas = 0
        self.connect_timeout_s = 0.0
        self._journal = journal

    @asynccontextmanager
    async def connect(self, nats_url: str, *, timeout_s: float) -> AsyncIterator[FakeBus]:
        self._journal.append(f"connect {nats_url}")
        self.connect_timeout_s = timeout_s
        yield self
        self._journal.append("close")

    async def provision(self, fleet: Fleet, *, replicas: int) -> FakeFleet:
        self._journal.append("provision")
        self.replicas = replicas
        return FakeFleet(fleet)

    async def reconcile(self) -> None:
        await asyncio.Event().wait()

    @asynccontextmanager
    async def serve_status(self, handle: Callable[[GetStatus], Awaitable[SuiteStatus]]) -> AsyncIterator[None]:
        self._journal.append("serve status")
        yield
        self._journal.append("end status")


class FakeServers:
    """Servers of one kind that are ready at once."""

    def __init__(self, address: str, *instances: str) -> None:
        self._address = address
        self._instances = instances
        self.failure: Exception | None = None

    async def plan(self) -> Sequence[ServerPlan]:
        return [
            ServerPlan(ProcessSpec(name.partition("-")[0], name, []), FakeProbe(), timeout_s=1.0)
            for name in self._instances
        ]

    @property
    def address(self) -> str:
        return self._address

    async def wait_until_ready(self) -> None:
        if self.failure is not None:
            raise self.failure

"""The start sequence on fakes: its order, its end, pools that follow load and fleet, crash loops."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.presence import GetStatus
from trunkline_supervisor.application.health_monitor import HealthMonitor
from trunkline_supervisor.application.lifetime import Lifetime
from trunkline_supervisor.application.pool_factory import PoolFactory
from trunkline_supervisor.application.scaler import Scaler
from trunkline_supervisor.application.startup import SuitePlan, SuiteStartup, start_unless_stopped
from trunkline_supervisor.application.tree import Tree
from trunkline_supervisor.core.blueprint import Addresses, Blueprint, PoolSizes
from trunkline_supervisor.core.errors import NotReadyError, PostgresStartError
from trunkline_supervisor.core.node import Node
from trunkline_supervisor.core.restarts import MAX_DEATHS
from trunkline_supervisor.core.scaling import PoolLoad

from tests.supervisor.fakes import (
    FakeBus,
    FakeFleet,
    FakeLauncher,
    FakePresences,
    FakeProbe,
    FakeQueues,
    FakeServers,
)

DEMO_FLEET = load_fleet(Path(__file__).parents[2] / "fleet")
SIZES = PoolSizes(conversation=(2, 2), agents=(1, 3))


def fleet_of(*specialties: str) -> Fleet:
    """Return the demo fleet with the agents of some specialties."""
    agents = [agent for agent in DEMO_FLEET.agents if agent.specialty in specialties]
    return msgspec.structs.replace(DEMO_FLEET, agents=agents)


def blueprint(nats_url: str, postgres_dsn: str, replicas: int = 1, *, http_host: str = "127.0.0.1") -> Blueprint:
    """Return a small suite."""
    addresses = Addresses(nats_url, postgres_dsn, "milvus", "backups", 8080, "secret", "secret", http_host=http_host)
    return Blueprint("local", Path("fleet"), addresses, SIZES, replicas=replicas)


def test_public_address_is_for_the_ingress_alone() -> None:
    """Health and metrics of the other processes have no access control: they stay on loopback."""
    for pool in blueprint("", "", http_host="::").pools(["triage"]):
        environment = pool.process(1).environment
        assert environment["TRUNKLINE_HTTP_HOST"] == ("::" if pool.service == "ingress" else "127.0.0.1"), pool


class Harness:
    """A suite of fakes. Servers answer their probes, services send heartbeats."""

    def __init__(self, lifetime: Lifetime) -> None:
        self.lifetime = lifetime
        self.launcher = FakeLauncher()
        self.presences = FakePresences()
        self.bus = FakeBus(self.launcher.journal)
        self.fleet = FakeFleet(fleet_of("triage", "billing"))
        self.unanswered: set[str] = set()
        self.nats = FakeServers("nats://a,nats://b,nats://c", "nats-1", "nats-2", "nats-3")
        self.postgres = FakeServers("postgres://d", "postgres-1")
        self.tree = Tree(self.presences, lambda child: child.spec.instance not in self.unanswered, Node("local"))
        self.pools = PoolFactory(self.launcher, HealthMonitor(self.presences, FakeProbe()), lifetime)

    def startup(self, *, replicas: int | None = None, ready_timeout_s: float = 10.0) -> SuiteStartup:
        plan = SuitePlan(
            fleet=self.fleet.fleet,
            nats=self.nats,
            postgres=self.postgres,
            connector=self.bus,
            blueprint=blueprint,
            replicas=replicas,
            grow_after_s=2.0,
            shrink_after_s=60.0,
            ready_timeout_s=ready_timeout_s,
            archive_timeout_s=0.1,
        )
        return SuiteStartup(self.tree, self.pools, self.lifetime, plan)

    async def send_heartbeats(self) -> None:
        """Report every service as ready until cancelled."""
        while True:
            for child in self.launcher.children.values():
                if child.running and child.spec.service not in {"nats", "postgres"}:
                    self.presences.beat(child)
            await asyncio.sleep(0)


@asynccontextmanager
async def running() -> AsyncIterator[Harness]:
    """Run a harness; everything that it has started ends with the block."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        yield Harness(Lifetime(stack, tasks))


async def test_suite_starts_and_stops_in_order() -> None:
    """Servers, connection, topology, services; services stop from the edge to the core, the connection is last."""
    async with running() as harness:
        harness.lifetime.spawn(harness.send_heartbeats())
        await harness.startup().run()
        started = list(harness.launcher.journal)
        status = await harness.tree.status(GetStatus())
        harness.launcher.journal.clear()
    assert set(started[:4]) == {"start nats-1", "start nats-2", "start nats-3", "start postgres-1"}
    assert started[4:7] == ["connect nats://a,nats://b,nats://c", "provision", "serve status"]
    services = [entry.removeprefix("start ") for entry in started[7:]]
    assert services == [
        "ingress-1",
        "conversation-1",
        "conversation-2",
        "agents-billing-1",
        "agents-triage-1",
        "rag-1",
        "llm_gateway-1",
        "audit-1",
    ]
    assert status.ready
    assert {process.instance for process in status.processes} >= {"supervisor", "nats-1", "postgres-1", *services}
    stopped = [entry for entry in harness.launcher.journal if entry.startswith("stop ")]
    assert stopped[0] == "stop ingress-1"
    assert set(stopped[1:3]) == {"stop conversation-1", "stop conversation-2"}
    assert {entry.partition("-")[0] for entry in stopped[-4:]} == {"stop nats", "stop postgres"}
    assert harness.launcher.journal[0] == "end status"
    assert harness.launcher.journal[-1] == "close"


async def test_page_of_a_process_names_its_service_before_and_after_its_first_heartbeat() -> None:
    """An alert on a process that does not come up goes by the label of its service."""
    async with running() as harness:
        beating = asyncio.ensure_future(harness.send_heartbeats())
        await harness.startup().run()
        beating.cancel()
        harness.presences.presence_by_instance.pop("audit-1")
        pages = {page.process: page for page in harness.tree.health_pages()}
    assert (pages["audit-1"].service, pages["audit-1"].url) == ("audit", "")
    assert (pages["rag-1"].service, pages["rag-1"].url) == ("rag", "http://rag-1")


@pytest.mark.parametrize(("given", "expected"), [(None, 3), (1, 1)])
async def test_streams_have_one_copy_per_embedded_server_by_default(given: int | None, expected: int) -> None:
    """A configured number takes precedence."""
    async with running() as harness:
        harness.lifetime.spawn(harness.send_heartbeats())
        await harness.startup(replicas=given).run()
    assert harness.bus.replicas == expected


async def test_process_that_does_not_get_ready_ends_the_start_and_everything_started() -> None:
    """The error names the first such process and its log file; every child is stopped."""
    with pytest.raises(ExceptionGroup) as raised:
        async with running() as harness:
            await harness.startup(ready_timeout_s=0.1).run()
    [error] = raised.value.exceptions
    assert isinstance(error, NotReadyError)
    assert str(error) == "ingress-1: starting after 0.1 s; see ingress-1.log"
    assert all(child.stopping for child in harness.launcher.children.values())


async def test_postgres_that_is_away_keeps_no_suite_from_starting() -> None:
    """No customer waits for the archive; it is prepared once PostgreSQL is there."""
    async with running() as harness:
        harness.unanswered.add("postgres-1")
        harness.postgres.failure = PostgresStartError("PostgreSQL is not ready")
        harness.lifetime.spawn(harness.send_heartbeats())
        await harness.startup().run()
        assert "start audit-1" in harness.launcher.journal
        status = await harness.tree.status(GetStatus())
        assert not status.ready


@pytest.mark.parametrize(("instances", "limit_s"), [((), 8.0), (("nats-1",), 30.0)])
async def test_start_waits_longer_for_servers_that_it_starts_itself(instances: tuple[str, ...], limit_s: float) -> None:
    """Servers of the operator are running or are not: with the time for a handshake the start ends within 10 s."""
    async with running() as harness:
        harness.nats = FakeServers("nats://a", *instances)
        harness.lifetime.spawn(harness.send_heartbeats())
        await harness.startup().run()
    assert 0 < harness.bus.connect_timeout_s <= limit_s
    assert (harness.bus.connect_timeout_s > 10) == bool(instances)


async def test_stop_interrupts_a_start() -> None:
    """Everything that was started until then is stopped."""
    stop = asyncio.Event()
    async with running() as harness:
        asyncio.get_running_loop().call_later(0.05, stop.set)
        assert not await start_unless_stopped(harness.startup(ready_timeout_s=60.0).run(), stop)
    assert harness.launcher.children
    assert all(child.stopping for child in harness.launcher.children.values())


async def test_deaths_are_published_and_a_crash_loop_fails_the_pool() -> None:
    """Until the restart intensity is exceeded, the state is `restarting`."""
    async with running() as harness:
        (billing,) = [pool for pool in blueprint("", "").pools(["billing"]) if pool.service == "agents"]
        pool = harness.pools.service(billing, harness.bus.peers)
        await pool.resize(1)
        child = harness.launcher.children["agents-billing-1"]
        assert all(child.die() for _ in range(MAX_DEATHS))
        assert not child.die()
        assert pool.failure == f"{MAX_DEATHS + 1} deaths within 60 s, the last one killed by SIGKILL"
        await pool.resize(3)
        assert len(pool.children) == 1
        await child.stop()
    states = [state for instance, state in harness.bus.peers.deaths if instance == "agents-billing-1"]
    assert states == ["restarting"] * MAX_DEATHS + ["failed"]


async def test_pools_follow_the_fleet_and_their_load() -> None:
    """A new specialty gets a pool, a removed one loses it, and an overloaded pool grows."""
    async with running() as harness:
        queues = FakeQueues()
        scaler = Scaler(
            harness.tree,
            queues,
            blueprint("", ""),
            harness.fleet,
            create_pool=lambda spec: harness.pools.service(spec, harness.bus.peers),
            grow_after_s=0.0,
            shrink_after_s=60.0,
        )
        await scaler.adjust()
        assert "agents-technical-1" not in harness.launcher.children
        harness.fleet.fleet = fleet_of("triage", "technical")
        queues.loads["agents-triage"] = PoolLoad(100)
        await scaler.adjust()
        sizes = {pool.name: len(pool.children) for pool in harness.tree.pools}
        assert sizes["agents-technical"] == 1
        assert sizes["agents-triage"] == 2
        assert "agents-billing" not in sizes
        assert harness.launcher.children["agents-billing-1"].stopping
        await harness.tree.stop()


def test_together_one_pool_serves_every_specialty() -> None:
    """Whatever the fleet: a change of its specialties changes no pool."""
    together = dataclasses.replace(blueprint("", ""), agents_together=True)
    pools = [pool for pool in together.pools(["billing", "triage"]) if pool.service == "agents"]
    assert pools == [pool for pool in together.pools(["technical"]) if pool.service == "agents"]
    assert [(pool.name, pool.environment["TRUNKLINE_SPECIALTY"]) for pool in pools] == [("agents", "*")]
    assert pools[0].process(2).instance == "agents-2"

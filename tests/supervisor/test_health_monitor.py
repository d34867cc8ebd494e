"""The health monitor decides by heartbeats and probes, and replaces a process at most once per failure."""

from __future__ import annotations

import pytest
from trunkline_supervisor.application.health_monitor import HealthMonitor
from trunkline_supervisor.core.blueprint import ProcessSpec
from trunkline_supervisor.core.health import FROZEN_AFTER_S, HEARTBEAT_LATE_S, PARTITIONED_AFTER_S, STOP_TIMEOUT_S

from tests.supervisor.fakes import FakeChild, FakePresences, FakeProbe


class Harness:
    """A monitor with one child, a clock of the test, and a second process whose heartbeats arrive."""

    def __init__(self) -> None:
        self.now = 100.0
        self.presences = FakePresences()
        self.probe = FakeProbe()
        self.monitor = HealthMonitor(self.presences, self.probe, clock=lambda: self.now)
        self.child = self.create_child("rag-1", pid=11)
        self.peer = self.create_child("audit-1", pid=12)
        self.presences.beat(self.peer)

    def create_child(self, instance: str, *, pid: int) -> FakeChild:
        child = FakeChild(ProcessSpec(instance.partition("-")[0], instance, []), lambda _: True, [])
        child.pid, child.running_s = pid, 300.0
        return child

    async def check(self, *, heartbeat_age_s: float) -> None:
        self.presences.beat(self.child, age_s=heartbeat_age_s)
        await self.monitor.check_service(self.child)


@pytest.fixture
def harness() -> Harness:
    """Return a harness whose child is healthy."""
    return Harness()


async def test_process_with_heartbeats_is_not_probed(harness: Harness) -> None:
    """A probe costs a request per process and check."""
    await harness.check(heartbeat_age_s=0.5)
    assert harness.probe.urls == []


async def test_frozen_process_is_replaced_once(harness: Harness) -> None:
    """It is probed as soon as its heartbeat is late, and replaced after the timeout."""
    harness.probe.healthy = False
    await harness.check(heartbeat_age_s=HEARTBEAT_LATE_S + 0.1)
    assert harness.probe.urls == ["http://rag-1/healthz"]
    assert harness.child.replaced == []
    harness.now += FROZEN_AFTER_S
    await harness.check(heartbeat_age_s=FROZEN_AFTER_S + HEARTBEAT_LATE_S)
    assert harness.child.replaced == ["frozen"]
    harness.child.pid, harness.child.running_s = 13, 0.5
    await harness.monitor.check_service(harness.child)
    assert harness.child.replaced == ["frozen"]


async def test_process_that_answers_is_replaced_only_if_partitioned(harness: Harness) -> None:
    """While the heartbeats of its peers arrive."""
    await harness.check(heartbeat_age_s=FROZEN_AFTER_S)
    harness.now += 60.0
    await harness.check(heartbeat_age_s=PARTITIONED_AFTER_S - 1)
    assert harness.child.replaced == []
    harness.presences.beat(harness.peer, age_s=60.0)
    await harness.check(heartbeat_age_s=PARTITIONED_AFTER_S + 1)
    assert harness.child.replaced == []
    harness.presences.beat(harness.peer)
    await harness.check(heartbeat_age_s=PARTITIONED_AFTER_S + 1)
    assert harness.child.replaced == ["partitioned"]


async def test_process_that_does_not_finish_stopping_is_replaced(harness: Harness) -> None:
    """The timeout starts with the first heartbeat that reports it."""
    harness.presences.beat(harness.child, state="draining")
    await harness.monitor.check_service(harness.child)
    harness.now += STOP_TIMEOUT_S
    await harness.monitor.check_service(harness.child)
    harness.now += 0.1
    assert harness.child.replaced == []
    await harness.monitor.check_service(harness.child)
    assert harness.child.replaced == ["stop_timeout"]


async def test_child_that_is_not_running_is_not_checked(harness: Harness) -> None:
    """Its restart is under way."""
    harness.child.pid = 0
    await harness.monitor.check_service(harness.child)
    await harness.monitor.check_server(harness.child, harness.probe, 1.0)
    assert harness.child.replaced == []


async def test_server_has_more_time_until_its_first_answer(harness: Harness) -> None:
    """A start takes longer than an answer."""
    harness.probe.healthy = False
    await harness.monitor.check_server(harness.child, harness.probe, 1.0)
    harness.now += 2.0
    await harness.monitor.check_server(harness.child, harness.probe, 1.0)
    assert harness.child.replaced == []
    assert not harness.monitor.answered(harness.child)
    harness.probe.healthy = True
    await harness.monitor.check_server(harness.child, harness.probe, 1.0)
    assert harness.monitor.answered(harness.child)
    harness.probe.healthy = False
    await harness.monitor.check_server(harness.child, harness.probe, 1.0)
    assert not harness.monitor.answered(harness.child)
    harness.now += 2.0
    await harness.monitor.check_server(harness.child, harness.probe, 1.0)
    assert harness.child.replaced == ["frozen"]


async def test_probe_that_raises_counts_as_no_answer(harness: Harness) -> None:
    """A driver may fail in its own way if the server dies in the middle of a request; the suite goes on."""

    async def fail() -> bool:
        raise RuntimeError("cannot switch to state 11; another operation is in progress")

    await harness.monitor.check_server(harness.child, harness.probe, 1.0)
    assert harness.monitor.answered(harness.child)
    await harness.monitor.check_server(harness.child, fail, 1.0)
    assert not harness.monitor.answered(harness.child)
    harness.now += 2.0
    await harness.monitor.check_server(harness.child, fail, 1.0)
    assert harness.child.replaced == ["frozen"]

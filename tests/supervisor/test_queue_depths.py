"""Load of pools, measured on a real nats-server."""

from __future__ import annotations

import asyncio
import time

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.presence import Presence
from trunkline_supervisor.adapters.queue_depths import NatsQueueDepths
from trunkline_supervisor.core.blueprint import PoolSpec

from tests.agents.builders import make_request

BILLING = PoolSpec("agents", "agents-billing", {"TRUNKLINE_SPECIALTY": "billing"}, 1, 3)
TECHNICAL = PoolSpec("agents", "agents-technical", {"TRUNKLINE_SPECIALTY": "technical"}, 1, 3)

TOGETHER = PoolSpec("agents", "agents", {"TRUNKLINE_SPECIALTY": "*"}, 2, 3)


async def test_age_is_that_of_the_oldest_work_of_the_specialty(bus: Bus) -> None:
    """Work of another specialty does not count, and an empty stream is asked about once for all pools."""
    await bus.api(f"STREAM.PURGE.{streams.WORK.name}")
    queues = NatsQueueDepths(bus, PresenceRegistry())
    assert [(await queues.load(pool, time.time())).age_s for pool in (BILLING, TECHNICAL)] == [0.0, 0.0]
    request = make_request("hello", specialty="billing")
    await bus.append(subjects.work("billing", "normal"), codec.encode(request), message_id=f"age-{time.monotonic_ns()}")
    later = time.time() + 5.0
    loads = [await queues.load(pool, later) for pool in (BILLING, TECHNICAL, TOGETHER)]
    assert 4.0 < loads[0].age_s < 6.0
    assert loads[1].age_s == 0.0
    assert loads[2].age_s == loads[0].age_s
    await bus.api(f"STREAM.PURGE.{streams.WORK.name}")


@pytest.mark.parametrize("difference_s", [-3_600.0, 3_600.0])
async def test_age_does_not_depend_on_the_own_clock(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, difference_s: float
) -> None:
    """Work that the server has just stored is new."""
    await bus.api(f"STREAM.PURGE.{streams.WORK.name}")
    request = make_request("hello", specialty="billing")
    await bus.append(subjects.work("billing", "normal"), codec.encode(request), message_id=f"age-{time.monotonic_ns()}")
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + difference_s)
    load = await NatsQueueDepths(bus, PresenceRegistry()).load(BILLING, right() + difference_s)
    assert load.age_s < 600
    await bus.api(f"STREAM.PURGE.{streams.WORK.name}")


@pytest.mark.parametrize(("cpu_percent", "expected"), [(30.0, True), (97.0, False)])
async def test_refused_turns_call_for_processes_if_processors_are_idle(
    bus: Bus,
    cpu_percent: float,
    expected: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Of the services that answer turns; on a busy machine, further processes would be slower."""
    presences = PresenceRegistry()
    await presences.watch(bus)
    queues = NatsQueueDepths(bus, presences, cpu_percent=lambda: cpu_percent)
    ingress = Presence(
        service="ingress",
        instance="ingress-refusing",
        pid=1,
        state="ready",
        version="0",
        node="n",
        started_at=0.0,
        at=0.0,
        is_refusing=True,
    )
    assert not (await queues.load(BILLING, time.time())).is_refused
    await bus.publish(subjects.presence("ingress", "ingress-refusing"), codec.encode(ingress))
    async with asyncio.timeout(20):
        while not presences.alive("ingress"):
            await asyncio.sleep(0.01)
    assert (await queues.load(BILLING, time.time() + 10)).is_refused is expected
    assert not (await queues.load(PoolSpec("audit", "audit"), time.time() + 20)).is_refused

"""Wrong clocks: a process an hour ahead or behind, from its start or from a jump on, changes nothing for customers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_protocols import codec, subjects
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import TurnAnswered

from tests.faults import soak
from tests.faults.soak import Plan
from tests.faults.verifier import Report
from tests.support.clocks import Clocks, is_available
from tests.support.suite import Suite, trunkline, wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_available(), reason="libfaketime is not installed: apt-get install libfaketime"),
]

HOUR_S: Final = 3_600
MINUTE_S: Final = 60
SERVICES: Final = ("agents", "conversation", "ingress", "llm_gateway", "audit", "rag")
WRONG: Final = "agents-2"
"""It is an hour ahead from its start."""
GIVEN_UP: Final = frozenset({"turn.expired", "delivery.dead_lettered", "process.crashed"})
"""Log events that a slow machine does not cause."""


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Clocks:
    """The clocks of the suite."""
    return Clocks(tmp_path_factory.mktemp("clocks") / "of")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, clocks: Clocks) -> Iterator[Suite]:
    """A suite of which each process has a clock of its own; its model takes some 0.3 s."""
    folder = tmp_path_factory.mktemp("clock-faults")
    clocks.set(WRONG, HOUR_S)
    running = Suite(folder / "data", soak.environment(folder) | clocks.environment)
    try:
        yield running
    finally:
        assert running.stop() == 0


@pytest.fixture
async def bus(suite: Suite) -> AsyncIterator[Bus]:
    """A connection to the NATS of the suite."""
    connection = await connect(suite.nats_url(), "tests")
    yield connection
    await connection.close()


def events(suite: Suite) -> Counter[str]:
    """Return the number of log events of all services by name."""
    found: Counter[str] = Counter()
    for file in (suite.data_dir / "logs").glob("*.log"):
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                found[json.loads(line).get("event", "")] += 1
    return found


async def difference_s(bus: Bus, instance: str) -> float:
    """Return how far the clock of a process was ahead in its last heartbeat, in seconds."""
    stored = await bus.last_message("KV_PRESENCE", subjects.presence(instance.rpartition("-")[0], instance))
    return codec.presence.decode(stored.payload).at - time.time() if stored is not None else 0.0


async def set_clock(bus: Bus, clocks: Clocks, instance: str, difference: int) -> None:
    """Set the clock of a process and wait until its heartbeats show it."""
    clocks.set(instance, difference)
    async with asyncio.timeout(30):
        while abs(await difference_s(bus, instance) - difference) > HOUR_S / 4:
            await asyncio.sleep(0.1)


async def check_log(suite: Suite, bus: Bus, *, since: float) -> None:
    """Check that commits and messages have the right time, answers are the model's, and the audit trail is whole."""
    received = [codec.inbox.decode(each.payload) for each in await bus.read_messages("INBOX", "inbox.>")]
    times = [each.received_at for each in received if isinstance(each, TurnReceived)]
    commits = [codec.commit.decode(each.payload) for each in await bus.read_messages("CONVERSATIONS", "conv.>")]
    times += [commit.at for commit in commits]
    answered = [event for commit in commits for event in commit.events if isinstance(event, TurnAnswered)]
    assert {event.provider for event in answered} <= {"simulated", ""}
    assert times
    assert min(times) > since - MINUTE_S
    assert max(times) < time.time() + MINUTE_S
    verified = await asyncio.to_thread(
        subprocess.run,
        [trunkline(), "audit", "verify", "--data-dir", str(suite.data_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


async def load(suite: Suite, bus: Bus, clocks: Clocks, jumps: Sequence[tuple[str, int]], *, every_s: float) -> Report:
    """Load the suite while one clock after another jumps, each right again before the next one; check every answer."""
    before, remaining = events(suite), list(jumps)
    wrong: str | None = None

    async def jump() -> None:
        nonlocal wrong
        if wrong is not None:
            await set_clock(bus, clocks, wrong, 0)
            wrong = None
        if remaining:
            wrong, difference = remaining.pop(0)
            await set_clock(bus, clocks, wrong, difference)

    # Setting a clock takes up to two seconds in addition.
    duration_s = (len(jumps) + 1) * (every_s + 2)
    plan = Plan(duration_s=duration_s, rate=8, every_s=every_s, seed=HOUR_S, conversations=40)
    report = await soak.run(suite, plan, jump)
    print(soak.to_json(report, plan))
    while remaining:
        await jump()
    await jump()
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
    assert report.restarted_answers == report.refusals == 0
    assert {name: count for name, count in (events(suite) - before).items() if name in GIVEN_UP} == {}
    return report


@pytest.mark.long
async def test_wrong_clocks_delay_no_answer(suite: Suite, bus: Bus, clocks: Clocks) -> None:
    """One agents process is ahead from its start; others jump while turns run, and of each another process is right."""
    assert await difference_s(bus, WRONG) == pytest.approx(HOUR_S, abs=60)
    jumps = [("agents-1", HOUR_S), ("agents-1", -HOUR_S), ("llm_gateway-1", HOUR_S), ("conversation-1", -HOUR_S)]
    begun_at = time.time()
    await load(suite, bus, clocks, [*jumps, ("ingress-1", HOUR_S), ("audit-1", -HOUR_S)], every_s=0.2)
    await check_log(suite, bus, since=begun_at)


@pytest.mark.long
@pytest.mark.parametrize("service", SERVICES)
async def test_each_service_an_hour_off(suite: Suite, bus: Bus, clocks: Clocks, service: str) -> None:
    """Both directions, as a jump while turns run and for all processes of the service from their start on."""
    first, begun_at = f"{service}-1", time.time() - HOUR_S / 2
    await load(suite, bus, clocks, [(first, HOUR_S), (first, -HOUR_S), (first, HOUR_S)], every_s=3)
    instances = [name for name in suite.status() if name.rpartition("-")[0] == service]
    for difference in (HOUR_S, -HOUR_S, 0):
        for instance in instances:
            clocks.set(instance, difference)
            suite.kill(instance)
        wait_until(lambda: suite.get("/v1/ops/status")["ready"], "everything is ready", timeout_s=60)
        for instance in instances:
            await set_clock(bus, clocks, instance, difference)
        await load(suite, bus, clocks, [], every_s=6)
    await check_log(suite, bus, since=begun_at)

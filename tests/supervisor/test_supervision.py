"""The tree on a running suite: frozen processes are replaced, crash loops end, pools grow and shrink under load."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import connect
from trunkline_protocols import codec

from tests.faults import marathon
from tests.faults.marathon import Plan
from tests.support.customer import Customer
from tests.support.suite import Suite, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

REFUND = "I was charged twice for my order, can I get a refund?"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite whose billing agents are quick to be joined by others and quick to leave."""
    folder = tmp_path_factory.mktemp("supervision")
    settings = marathon.environment(folder) | {
        "TRUNKLINE_CONVERSATION_PROCESSES_MIN": "1",
        "TRUNKLINE_CONCURRENCY": "2",
        "TRUNKLINE_AGENTS_PROCESSES_MAX": "2",
        "TRUNKLINE_GROW_AFTER_S": "1",
        "TRUNKLINE_SHRINK_AFTER_S": "8",
    }
    running = Suite(folder / "data", settings)
    try:
        yield running
    finally:
        assert running.stop() == 0


def metric(suite: Suite, line: str) -> float:
    """One line of the supervisor's metrics."""
    url = suite.status()["supervisor"]["detail"]["metrics"]
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own server
        text = response.read().decode()
    found = [each for each in text.splitlines() if each.startswith(line)]
    assert found, f"no {line} in {text}"
    return float(found[0].rpartition(" ")[2])


def ready(suite: Suite) -> bool:
    try:
        return bool(suite.get("/v1/ops/status")["ready"])
    except OSError:
        return False


@pytest.mark.parametrize("instance", ["agents-billing-1", "conversation-1", "ingress-1", "nats-1", "postgres-1"])
def test_frozen_process_is_found_and_replaced(suite: Suite, instance: str) -> None:
    """It has a pid, and the kernel still takes connections for it; the others are left alone."""
    wait_until(lambda: ready(suite), "everything is ready", timeout_s=60)
    before = {name: process["pid"] for name, process in suite.status().items()}
    os.kill(before[instance], signal.SIGSTOP)

    def replaced() -> bool:
        try:
            return suite.pid(instance) not in {0, before[instance]}
        except OSError:
            return False

    wait_until(replaced, f"{instance} is replaced", timeout_s=60)
    wait_until(lambda: ready(suite), "everything is ready", timeout_s=60)
    after = {name: process["pid"] for name, process in suite.status().items()}
    assert {name for name in before if before[name] != after[name]} == {instance}
    assert metric(suite, f'trunkline_process_restarts_total{{instance="{instance}"') >= 1


async def test_death_of_a_process_is_told_before_its_silence_tells_it(suite: Suite) -> None:
    """Whoever shares its work takes it over at once; it comes back by itself."""
    wait_until(lambda: ready(suite), "everything is ready", timeout_s=60)
    bus = await connect(suite.nats_url(), "listener")
    told: asyncio.Queue[str] = asyncio.Queue()

    async def on_presence(message: Msg) -> None:
        told.put_nowait(codec.presence.decode(message.data).state)

    await bus.subscribe("$KV.PRESENCE.conversation-1", on_presence)
    await bus.flush()
    os.kill(suite.pid("conversation-1"), signal.SIGKILL)
    try:
        async with asyncio.timeout(30):
            states = [await told.get()]
            while states[-2:] != ["starting", "ready"]:
                states.extend([state] if (state := await told.get()) != states[-1] else [])
    finally:
        await bus.close()
    assert "restarting" in states


async def test_pool_grows_and_shrinks_under_load_without_a_lost_or_doubled_turn(suite: Suite) -> None:
    """More turns than two hands can answer: another process joins by itself, and leaves when there is calm."""
    wait_until(lambda: ready(suite), "everything is ready", timeout_s=60)

    def size() -> int:
        return len([name for name in suite.status() if name.startswith("agents-billing-")])

    plan = Plan(duration_s=20, rate=12, every_s=60, seed=1, conversations=120, services=("rag",), texts=(REFUND,))
    load = asyncio.ensure_future(marathon.run(suite, plan))
    try:
        await asyncio.to_thread(wait_until, lambda: size() == 2, "a second process has joined")
    finally:
        report = await load
    await asyncio.to_thread(wait_until, lambda: size() == 1, "the second process has left", 60)
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


async def test_crash_loop_stops_its_pool_and_nothing_else(tmp_path: Path) -> None:
    """The audit service cannot live: it is given up, shown with the reason, counted; customers are answered."""
    settings = {"TRUNKLINE_READY_TIMEOUT_S": "60"}
    suite = await asyncio.to_thread(Suite, tmp_path, settings)
    try:
        for _ in range(12):
            state: dict[str, Any] = suite.status()["audit-1"]
            if state["state"] == "failed":
                break
            if state["pid"]:
                os.kill(state["pid"], signal.SIGKILL)
            await asyncio.to_thread(
                wait_until,
                lambda old=state["pid"]: (
                    suite.status()["audit-1"]["state"] == "failed" or suite.pid("audit-1") not in {0, old}
                ),
                "the next start",
            )
        line = suite.status()["audit-1"]
        assert (line["state"], line["pid"]) == ("failed", 0)
        assert "SIGKILL" in line["detail"]["reason"]
        assert metric(suite, 'trunkline_alerts_total{alert="crash_loop",pool="audit"}') == 1
        assert "pool.failed" in (tmp_path / "logs" / "supervisor.log").read_text()
        async with Customer(suite.url) as customer:
            await customer.start()
            await customer.ask("m1", REFUND)
    finally:
        assert await asyncio.to_thread(suite.stop) == 0

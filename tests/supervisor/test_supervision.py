"""Supervision of a running suite: replacement of frozen processes, crash loops, scaling under load."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import connect
from trunkline_protocols import codec

from tests.faults import soak
from tests.faults.soak import Plan
from tests.support.customer import Customer
from tests.support.suite import SEPARATE, Suite, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

REFUND = "I was charged twice for my order, can I get a refund?"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Run a suite whose agent pools are scaled after a short time."""
    folder = tmp_path_factory.mktemp("supervision")
    settings = (
        soak.environment(folder)
        | SEPARATE
        | {
            "TRUNKLINE_CONVERSATION_PROCESSES_MIN": "1",
            "TRUNKLINE_CONCURRENCY": "2",
            "TRUNKLINE_AGENTS_PROCESSES_MAX": "2",
            "TRUNKLINE_GROW_AFTER_S": "1",
            "TRUNKLINE_SHRINK_AFTER_S": "8",
        }
    )
    running = Suite(folder / "data", settings)
    try:
        yield running
    finally:
        assert running.stop() == 0


def metric(suite: Suite, line: str) -> float:
    """Return a value of the supervisor's metrics."""
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
def test_frozen_process_is_detected_and_replaced(suite: Suite, instance: str) -> None:
    """It has a pid, and the kernel still accepts connections for it; no other process is replaced."""
    wait_until(lambda: ready(suite), "everything is ready", timeout_s=60)
    before = {name: process["pid"] for name, process in suite.status().items()}
    os.kill(before[instance], signal.SIGSTOP)

    def replaced() -> bool:
        try:
            return suite.pid(instance) not in {0, before[instance]}
        except (OSError, KeyError):  # the supervisor has lost NATS too and does not report
            return False

    wait_until(replaced, f"{instance} is replaced", timeout_s=60)
    wait_until(lambda: ready(suite), "everything is ready", timeout_s=60)
    after = {name: process["pid"] for name, process in suite.status().items()}
    assert {name for name in before if before[name] != after[name]} == {instance}
    assert metric(suite, f'trunkline_process_restarts_total{{instance="{instance}"') >= 1


async def test_death_of_a_process_is_published_before_its_heartbeat_times_out(suite: Suite) -> None:
    """Its peers take over its work immediately, and it is restarted."""
    wait_until(lambda: ready(suite), "everything is ready", timeout_s=60)
    bus = await connect(suite.nats_url(), "listener")
    published: asyncio.Queue[str] = asyncio.Queue()

    async def on_presence(message: Msg) -> None:
        published.put_nowait(codec.presence.decode(message.data).state)

    await bus.subscribe("$KV.PRESENCE.conversation.conversation-1", on_presence)
    await bus.flush()
    os.kill(suite.pid("conversation-1"), signal.SIGKILL)
    try:
        async with asyncio.timeout(30):
            states = [await published.get()]
            while states[-2:] != ["starting", "ready"]:
                states.extend([state] if (state := await published.get()) != states[-1] else [])
    finally:
        await bus.close()
    assert "restarting" in states


@pytest.mark.long
async def test_pool_grows_and_shrinks_under_load_without_a_lost_or_doubled_turn(suite: Suite) -> None:
    """More turns than one process can answer: a second one is started, and stopped once the load is low."""
    wait_until(lambda: ready(suite), "everything is ready", timeout_s=60)

    def size() -> int:
        return len([name for name in suite.status() if name.startswith("agents-billing-")])

    plan = Plan(duration_s=20, rate=12, every_s=60, seed=1, conversations=120, services=("rag",), texts=(REFUND,))
    load = asyncio.ensure_future(soak.run(suite, plan))
    try:
        await asyncio.to_thread(wait_until, lambda: size() == 2, "a second process is started")
    finally:
        report = await load
    await asyncio.to_thread(wait_until, lambda: size() == 1, "the second process is stopped", 60)
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


async def test_crash_loop_stops_its_pool_alone(tmp_path: Path) -> None:
    """The audit service is given up: its status has the reason, an alert is counted, customers are answered."""
    settings = {"TRUNKLINE_READY_TIMEOUT_S": "60"}
    suite = await asyncio.to_thread(Suite, tmp_path, settings)
    try:
        for _ in range(12):
            state = suite.status()["audit-1"]
            if state["state"] == "failed":
                break
            if state["pid"]:
                os.kill(state["pid"], signal.SIGKILL)
            await asyncio.to_thread(wait_until, partial(_failed_or_restarted, suite, state["pid"]), "the next start")
        line = suite.status()["audit-1"]
        assert (line["state"], line["pid"]) == ("failed", 0)
        assert "SIGKILL" in line["detail"]["reason"]
        assert metric(suite, 'trunkline_alerts_total{alert="crash_loop",pool="audit"') == 1
        assert "pool.failed" in (tmp_path / "logs" / "supervisor.log").read_text()
        async with Customer(suite.url) as customer:
            await customer.start()
            await customer.ask("m1", REFUND)
    finally:
        assert await asyncio.to_thread(suite.stop) == 0


def _failed_or_restarted(suite: Suite, old_pid: int) -> bool:
    process = suite.status()["audit-1"]
    return process["state"] == "failed" or process["pid"] not in {0, old_pid}

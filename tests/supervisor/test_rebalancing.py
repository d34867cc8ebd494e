"""Rebalancing of slots while conversation processes start and stop under load: no turn is lost or reordered."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import SLOTS

from tests.faults import soak
from tests.faults.soak import Plan
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

PERMANENT, FIRST, SECOND = "conversation-1", "conversation-added-1", "conversation-added-2"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Run a suite with one conversation process; only the test adds others."""
    folder = tmp_path_factory.mktemp("rebalancing")
    one = {"TRUNKLINE_CONVERSATION_PROCESSES_MIN": "1", "TRUNKLINE_CONVERSATION_PROCESSES_MAX": "1"}
    running = Suite(folder / "data", soak.environment(folder) | one)
    try:
        yield running
    finally:
        assert running.stop() == 0


@contextmanager
def added_process(suite: Suite, instance: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one more conversation process, as another machine would: it shares only NATS with the suite."""
    settings = {"TRUNKLINE_NATS_URL": suite.nats_url(), "TRUNKLINE_INSTANCE": instance, "TRUNKLINE_HTTP_PORT": "0"}
    with (folder / f"{instance}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trunkline_conversation"], env=os.environ | settings, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


async def test_slots_are_rebalanced_without_losing_a_turn(suite: Suite, tmp_path: Path) -> None:
    """Two processes are added, one is killed, one is stopped: 1 -> 3 -> 2 -> 1."""
    bus = await connect(suite.nats_url(), "rebalancing-test")
    balanced: list[list[str]] = []

    async def wait_until_balanced(*instances: str) -> None:
        async with asyncio.timeout(60):
            while not _is_balanced(await _held_slots(bus, instances)):
                await asyncio.sleep(0.05)
        balanced.append(list(instances))

    async def add_and_remove_processes() -> None:
        if balanced:
            return
        with added_process(suite, FIRST, tmp_path) as first, added_process(suite, SECOND, tmp_path) as second:
            await wait_until_balanced(PERMANENT, FIRST, SECOND)
            second.kill()
            await wait_until_balanced(PERMANENT, FIRST)
            first.terminate()
            await wait_until_balanced(PERMANENT)
            assert await asyncio.to_thread(first.wait, 30) == 0

    plan = Plan(duration_s=30, rate=20, every_s=2, seed=5, conversations=100)
    report = await soak.run(suite, plan, inject=add_and_remove_processes)
    await bus.close()
    assert [len(instances) for instances in balanced] == [3, 2, 1]
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


def _is_balanced(held: list[list[int]]) -> bool:
    """Return whether every slot has one holder and no process holds more than its share."""
    return sorted(itertools.chain(*held)) == list(range(SLOTS)) and max(map(len, held)) <= math.ceil(SLOTS / len(held))


async def _held_slots(bus: Bus, instances: tuple[str, ...]) -> list[list[int]]:
    """Return the slots that each process reports in its heartbeat."""
    held = []
    for instance in instances:
        stored = await bus.last_message("KV_PRESENCE", subjects.presence("conversation", instance))
        held.append(codec.presence.decode(stored.payload).slots if stored is not None and stored.payload else [])
    return held

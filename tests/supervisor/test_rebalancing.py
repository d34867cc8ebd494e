"""Conversation processes come and go under load: they share the slots anew, and every turn keeps its place."""

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
from trunkline_protocols import codec
from trunkline_protocols.ids import SLOTS

from tests.faults import marathon
from tests.faults.marathon import Plan
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

RESIDENT, FIRST, SECOND = "conversation-1", "conversation-guest-1", "conversation-guest-2"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite with one conversation process that nothing but the test adds to."""
    folder = tmp_path_factory.mktemp("rebalancing")
    one = {"TRUNKLINE_CONVERSATION_PROCESSES_MIN": "1", "TRUNKLINE_CONVERSATION_PROCESSES_MAX": "1"}
    running = Suite(folder / "data", marathon.environment(folder) | one)
    try:
        yield running
    finally:
        assert running.stop() == 0


@contextmanager
def guest(suite: Suite, instance: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One more conversation process, as another machine would start it: it knows NATS and nothing else."""
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


async def test_slots_move_with_the_processes_and_take_every_turn_along(suite: Suite, tmp_path: Path) -> None:
    """Two, three, a killed one, one that is asked to stop: 2 -> 3 -> 2 -> 1."""
    bus = await connect(suite.nats_url(), "census")
    moves: list[list[str]] = []

    async def share_anew(*instances: str) -> None:
        async with asyncio.timeout(60):
            while not _is_fair(await _held(bus, instances)):
                await asyncio.sleep(0.05)
        moves.append(list(instances))

    async def come_and_go() -> None:
        if moves:
            return
        with guest(suite, FIRST, tmp_path) as first, guest(suite, SECOND, tmp_path) as second:
            await share_anew(RESIDENT, FIRST, SECOND)
            second.kill()
            await share_anew(RESIDENT, FIRST)
            first.terminate()
            await share_anew(RESIDENT)
            assert await asyncio.to_thread(first.wait, 30) == 0

    plan = Plan(duration_s=30, rate=20, every_s=2, seed=5, conversations=100)
    report = await marathon.run(suite, plan, inject=come_and_go)
    await bus.close()
    assert [len(instances) for instances in moves] == [3, 2, 1]
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


def _is_fair(held: list[list[int]]) -> bool:
    """Whether every slot has one holder, and nobody more than its share."""
    return sorted(itertools.chain(*held)) == list(range(SLOTS)) and max(map(len, held)) <= math.ceil(SLOTS / len(held))


async def _held(bus: Bus, instances: tuple[str, ...]) -> list[list[int]]:
    """What each of them says it holds."""
    held = []
    for instance in instances:
        stored = await bus.last_message("KV_PRESENCE", f"$KV.PRESENCE.{instance}")
        held.append(codec.presence.decode(stored.payload).slots if stored is not None and stored.payload else [])
    return held

"""The network between the suite and its servers is cut and slowed under load."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.postgres import dsn
from trunkline_supervisor.adapters.tcp import free_port

from tests.faults import marathon
from tests.faults.marathon import Plan
from tests.faults.tcp_proxy import Wire
from tests.support.postgres import PostgresServer, postgres, postgres_server
from tests.support.suite import Suite

__all__ = ["postgres", "postgres_server"]

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


class Wired:
    """A suite whose NATS and PostgreSQL are at the far ends of wires."""

    def __init__(self, suite: Suite, nats: Wire, archive: Wire) -> None:
        self.suite = suite
        self.nats = nats
        self.archive = archive


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Wired]:
    """One for all tests of this module."""
    folder: Path = tmp_path_factory.mktemp("wired")
    node = NatsNode("nats-1", folder / "nats", free_port(), free_port())
    with (folder / "nats.log").open("w") as log:
        server = subprocess.Popen(nats_server_command(node), stdout=log, stderr=log)
    nats, archive = Wire(node.port), Wire(postgres_server.port)
    settings = marathon.environment(folder) | {
        "TRUNKLINE_NATS_URL": f"nats://127.0.0.1:{nats.port}",
        "TRUNKLINE_POSTGRES_DSN": dsn(archive.port),
    }
    suite = Suite(folder / "data", settings)
    try:
        yield Wired(suite, nats, archive)
    finally:
        assert suite.stop() == 0
        nats.close()
        archive.close()
        server.terminate()
        server.wait(10)


@pytest.mark.parametrize("which", ["nats", "archive"])
async def test_cut_wire_costs_no_message_and_doubles_none(wired: Wired, seed: int, which: str) -> None:
    """Every connection breaks at once, and nobody can connect for three seconds."""
    wire: Wire = getattr(wired, which)
    pids = {name: process["pid"] for name, process in wired.suite.status().items()}

    async def inject() -> None:
        await asyncio.to_thread(wire.cut)
        await asyncio.sleep(3)
        wire.mend()

    plan = Plan(duration_s=12, rate=20, every_s=4, seed=seed, conversations=100)
    report = await marathon.run(wired.suite, plan, inject)
    print(marathon.show(report, plan))
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
    assert {name: process["pid"] for name, process in wired.suite.status().items()} == pids, (
        "nobody was replaced for it"
    )


async def test_slow_wire_delays_and_loses_nothing(wired: Wired, seed: int) -> None:
    """A tenth of a second on every way to NATS and back."""
    wired.nats.delay(0.1)
    try:
        plan = Plan(duration_s=6, rate=5, every_s=60, seed=seed, conversations=60)
        report = await marathon.run(wired.suite, plan)
    finally:
        wired.nats.delay(0.0)
    print(marathon.show(report, plan))
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])

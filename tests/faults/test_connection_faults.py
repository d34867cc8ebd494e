"""Connections between the suite and its servers are cut and delayed under load."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

from tests.faults import soak
from tests.faults.soak import Plan
from tests.faults.tcp_proxy import TcpProxy
from tests.support.postgres import PostgresServer, postgres, postgres_server
from tests.support.suite import Suite

__all__ = ["postgres", "postgres_server"]

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class ProxiedSuite:
    """A suite that reaches NATS and PostgreSQL through proxies."""

    suite: Suite
    nats: TcpProxy
    postgres: TcpProxy


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[ProxiedSuite]:
    """One for all tests of this module."""
    folder: Path = tmp_path_factory.mktemp("proxied")
    node = NatsNode("nats-1", folder / "nats", free_port())
    with (folder / "nats.log").open("w") as log:
        server = subprocess.Popen(nats_server_command(node), stdout=log, stderr=log)
    nats, postgres = TcpProxy(node.port), TcpProxy(postgres_server.socket)
    login = postgres_server.dsn.removeprefix("postgresql://").partition("@")[0]
    settings = soak.environment(folder) | {
        "TRUNKLINE_NATS_URL": f"nats://127.0.0.1:{nats.port}",
        "TRUNKLINE_POSTGRES_DSN": f"postgresql://{login}@127.0.0.1:{postgres.port}/trunkline",
    }
    suite = Suite(folder / "data", settings)
    try:
        yield ProxiedSuite(suite, nats, postgres)
    finally:
        assert suite.stop() == 0
        nats.close()
        postgres.close()
        server.terminate()
        server.wait(10)


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_cut_connections_lose_and_duplicate_no_message(
    proxied: ProxiedSuite, seed: int, server: Literal["nats", "postgres"]
) -> None:
    """Every connection is aborted at once, and new ones are refused for three seconds; no process is replaced."""
    proxy = proxied.nats if server == "nats" else proxied.postgres
    pids = {name: process["pid"] for name, process in proxied.suite.status().items()}

    async def inject() -> None:
        await asyncio.to_thread(proxy.cut)
        await asyncio.sleep(3)
        proxy.restore()

    plan = Plan(duration_s=12, rate=20, every_s=4, seed=seed, conversations=100)
    report = await soak.run(proxied.suite, plan, inject)
    print(soak.to_json(report, plan))
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
    assert {name: process["pid"] for name, process in proxied.suite.status().items()} == pids, "a process was replaced"


async def test_slow_connection_loses_nothing(proxied: ProxiedSuite, seed: int) -> None:
    """0.1 s delay in each direction to NATS."""
    proxied.nats.set_delay(0.1)
    try:
        plan = Plan(duration_s=6, rate=5, every_s=60, seed=seed, conversations=60)
        report = await soak.run(proxied.suite, plan)
    finally:
        proxied.nats.set_delay(0.0)
    print(soak.to_json(report, plan))
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])

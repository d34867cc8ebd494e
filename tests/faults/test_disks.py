"""The disk is full: what cannot be stored is refused and may be tried again, what was stored is answered later."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusRefusedError
from trunkline_supervisor.adapters import postgres
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

from tests.faults import marathon
from tests.faults.disk import Disk, mounted
from tests.faults.marathon import Plan
from tests.support.customer import Customer
from tests.support.suite import Suite, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

PARCEL = "Where is my parcel?"
NATS_MIB, POSTGRES_MIB = 192, 256
NO_SPACE = "No space left on device"


@contextlib.contextmanager
def suite_on_disk(folder: Path, part: str, mib: int) -> Iterator[tuple[Suite, Disk]]:
    """A suite one part of which keeps its state on a disk of its own."""
    with mounted(folder / "data" / part, mib=mib) as disk:
        if disk is None:
            pytest.skip("mounting a small disk is not allowed here")
        if part == "postgres":
            # It makes its folder anew unless it finds its data there.
            postgres.initialise(folder / "made")
            subprocess.run(["cp", "--archive", f"{folder}/made/.", str(disk.folder)], check=True)
        suite = Suite(folder / "data", marathon.environment(folder))
        try:
            yield suite, disk
        finally:
            disk.clear()
            assert suite.stop() == 0


@contextlib.contextmanager
def nats_with_limit(folder: Path, *, mib: int) -> Iterator[str]:
    """A nats-server whose operator allows so much to be stored."""
    node = NatsNode("nats-1", folder, free_port(), free_port())
    command = nats_server_command(node)
    config = folder / "nats.conf"
    config.write_text(config.read_text().replace("jetstream {", f"jetstream {{\n    max_file_store: {mib}MB"))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield node.url
    finally:
        server.terminate()
        server.wait(10)


async def refused(suite: Suite) -> bool:
    """Whether a new customer's message is refused, with an error that may pass."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.say("m1", PARCEL)
        while True:
            frame = await customer.receive()
            if frame["type"] == "accepted":
                return False
            if frame["type"] == "error":
                assert (frame["code"], frame["retryable"]) == ("unavailable", True)
                return True


async def answered(suite: Suite) -> bool:
    """Whether a new customer's message is answered."""
    try:
        async with asyncio.timeout(10), Customer(suite.url) as customer:
            await customer.start()
            await customer.ask("m1", PARCEL)
    except (AssertionError, OSError, TimeoutError):
        return False
    return True


async def until_answered(suite: Suite) -> None:
    async with asyncio.timeout(120):
        while not await answered(suite):
            await asyncio.sleep(0.2)


async def test_full_disk_of_nats_loses_nothing_and_heals_when_there_is_room(tmp_path: Path, seed: int) -> None:
    """The server's streams stay refused after such an error: it is found and started again, once that helps."""
    with suite_on_disk(tmp_path, "nats", NATS_MIB) as (suite, disk):
        before = suite.pid("nats-1")
        struck: list[bool] = []

        async def fill_and_clear() -> None:
            if struck:
                return
            await asyncio.to_thread(disk.fill)
            async with asyncio.timeout(60):
                while not await refused(suite):
                    pass
            struck.append(True)
            disk.clear()
            await until_answered(suite)

        plan = Plan(duration_s=12, rate=10, every_s=4, seed=seed, conversations=60)
        report = await marathon.run(suite, plan, fill_and_clear)
        print(marathon.show(report, plan))
        assert struck
        assert suite.pid("nats-1") not in {0, before}
        assert report.accepted == report.turns > 0
        assert (report.clients, report.log, report.postgres) == ([], [], [])


async def test_full_disk_of_postgres_is_noticed_by_no_customer(tmp_path: Path, seed: int) -> None:
    """Audit keeps its place in the streams and catches up; the server is never given up for it."""
    with suite_on_disk(tmp_path, "postgres", POSTGRES_MIB) as (suite, disk):
        struck: list[bool] = []

        async def fill_and_clear() -> None:
            if struck:
                return
            await asyncio.to_thread(disk.fill)
            log = suite.data_dir / "logs" / "postgres-1.log"
            async with asyncio.timeout(120):
                while NO_SPACE not in await asyncio.to_thread(log.read_text, errors="replace"):
                    assert await answered(suite)
            struck.append(True)
            disk.clear()

        plan = Plan(duration_s=12, rate=10, every_s=4, seed=seed, conversations=60)
        report = await marathon.run(suite, plan, fill_and_clear)
        print(marathon.show(report, plan))
        assert struck
        assert report.accepted == report.turns > 0
        assert (report.clients, report.log, report.postgres) == ([], [], [])
        wait_until(lambda: bool(suite.get("/v1/ops/status")["ready"]), "everything is ready", timeout_s=60)


async def test_storage_limit_of_nats_refuses_and_heals_without_a_restart(tmp_path: Path, seed: int) -> None:
    """What its operator allows is used up: the same to customers, and room again is enough."""
    with nats_with_limit(tmp_path / "nats", mib=128) as url:
        suite = Suite(tmp_path / "data", marathon.environment(tmp_path) | {"TRUNKLINE_NATS_URL": url})
        try:
            await _use_up_and_give_back(suite, seed)
        finally:
            assert suite.stop() == 0


async def _use_up_and_give_back(suite: Suite, seed: int) -> None:
    bus = await connect(suite.nats_url(), "ballast")
    struck: list[bool] = []

    async def fill_and_clear() -> None:
        if struck:
            return
        await _use_up(bus)
        async with asyncio.timeout(60):
            while not await refused(suite):
                pass
        struck.append(True)
        await bus.api("STREAM.DELETE.BALLAST")
        await until_answered(suite)

    plan = Plan(duration_s=12, rate=10, every_s=4, seed=seed, conversations=60)
    report = await marathon.run(suite, plan, fill_and_clear)
    await bus.close()
    print(marathon.show(report, plan))
    assert struck
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


async def _use_up(bus: Bus) -> None:
    """Store until the server refuses, in pieces that get smaller."""
    await bus.api("STREAM.CREATE.BALLAST", {"name": "BALLAST", "subjects": ["ballast"], "storage": "file"})
    number = 0
    for size in (2**20, 2**14, 2**8):
        with contextlib.suppress(BusRefusedError):
            while True:
                number += 1
                await bus.append("ballast", bytes(size), message_id=f"ballast-{number}")

"""A full disk: new messages are refused with a retryable error, accepted ones are answered once there is room."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusRefusedError
from trunkline_protocols import streams
from trunkline_supervisor.adapters.postgres import PostgresPaths, initialise

from tests.faults import soak
from tests.faults.disk import Disk, mounted
from tests.faults.soak import Plan
from tests.support.customer import Customer
from tests.support.nats import nats_server
from tests.support.suite import Suite, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

PARCEL = "Where is my parcel?"
NATS_MIB, POSTGRES_MIB = 192, 256
NO_SPACE = "No space left on device"


@contextlib.contextmanager
def suite_on_disk(folder: Path, part: str, mib: int, *, nodes: int | None = None) -> Iterator[tuple[Suite, Disk]]:
    """Run a suite, one part of which keeps its state on a disk of `mib` MiB."""
    with mounted(folder / "data" / part, mib=mib) as disk:
        if disk is None:
            pytest.skip("mounting a small disk is not allowed here")
        if part == "postgres":
            # The suite re-creates this folder unless it contains a database.
            paths = PostgresPaths(folder / "made", folder / "run", folder / "data" / "secrets")
            initialise(paths)
            subprocess.run(["cp", "--archive", f"{folder}/made/.", str(disk.folder)], check=True)
        suite = Suite(folder / "data", soak.environment(folder), nodes=nodes)
        try:
            yield suite, disk
        finally:
            disk.clear()
            assert suite.stop() == 0


@contextlib.contextmanager
def nats_with_limit(folder: Path, *, mib: int) -> Iterator[str]:
    """Run a nats-server with a limit on file storage, and yield its URL."""
    limit = f"jetstream {{\n    max_file_store: {mib}MB"
    with nats_server(folder, lambda config: config.replace("jetstream {", limit)) as url:
        yield url


async def is_refused(suite: Suite) -> bool:
    """Return whether the message of a new customer is refused; the error must be retryable."""
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


async def is_answered(suite: Suite) -> bool:
    """Return whether the message of a new customer is answered."""
    try:
        async with asyncio.timeout(10), Customer(suite.url) as customer:
            await customer.start()
            await customer.ask("m1", PARCEL)
    except (AssertionError, OSError, TimeoutError):
        return False
    return True


async def wait_until_refused(suite: Suite) -> None:
    async with asyncio.timeout(60):
        while not await is_refused(suite):
            pass


async def wait_until_answered(suite: Suite) -> None:
    async with asyncio.timeout(120):
        while not await is_answered(suite):
            await asyncio.sleep(0.2)


async def test_full_disk_of_nats_loses_nothing_and_the_suite_recovers(tmp_path: Path, seed: int) -> None:
    """A stream rejects all writes after such an error: the server is restarted as soon as a restart helps."""
    with suite_on_disk(tmp_path, "nats", NATS_MIB) as (suite, disk):
        before = suite.pid("nats-1")
        was_full = False

        async def fill_and_clear() -> None:
            nonlocal was_full
            if was_full:
                return
            await asyncio.to_thread(disk.fill)
            await wait_until_refused(suite)
            was_full = True
            disk.clear()
            await wait_until_answered(suite)

        plan = Plan(duration_s=12, rate=10, every_s=4, seed=seed, conversations=60)
        report = await soak.run(suite, plan, fill_and_clear)
        print(soak.to_json(report, plan))
        assert was_full
        assert suite.pid("nats-1") not in {0, before}
        assert report.accepted == report.turns > 0
        assert (report.clients, report.log, report.postgres) == ([], [], [])


@pytest.mark.long
async def test_server_of_a_cluster_whose_disk_was_full_keeps_copies_again(tmp_path: Path) -> None:
    """It gives all its copies up; the others answer meanwhile, and a restart brings it back once there is room."""
    for other in ("nats-1", "nats-3"):  # the number of folders is that of servers
        (tmp_path / "data" / "nats" / other).mkdir(parents=True)
    with suite_on_disk(tmp_path, "nats/nats-2", NATS_MIB, nodes=3) as (suite, disk):
        before = suite.pid("nats-2")
        await asyncio.to_thread(disk.fill)
        bus = await connect(suite.nats_url(), "observer")
        try:
            async with asyncio.timeout(120):
                while await outdated(bus) != ["nats-2"]:
                    await wait_until_answered(suite)
            assert suite.pid("nats-2") == before, "while the disk is full, a restart would not help"
            disk.clear()
            async with asyncio.timeout(120):
                while await outdated(bus):
                    await asyncio.sleep(0.5)
        finally:
            await bus.close()
        assert suite.pid("nats-2") not in {0, before}
        await wait_until_answered(suite)


async def outdated(bus: Bus) -> list[str]:
    """Return the servers whose copy of the inbox is not current."""
    cluster = (await bus.api(f"STREAM.INFO.{streams.INBOX.name}"))["cluster"]
    return [replica["name"] for replica in cluster["replicas"] if not replica["current"]]


async def test_full_disk_of_postgres_does_not_affect_customers(tmp_path: Path, seed: int) -> None:
    """Audit keeps its position in the streams and catches up; the supervisor does not give the server up."""
    with suite_on_disk(tmp_path, "postgres", POSTGRES_MIB) as (suite, disk):
        was_full = False

        async def fill_and_clear() -> None:
            nonlocal was_full
            if was_full:
                return
            await asyncio.to_thread(disk.fill)
            log = suite.data_dir / "logs" / "postgres-1.log"
            async with asyncio.timeout(120):
                while NO_SPACE not in await asyncio.to_thread(log.read_text, errors="replace"):
                    assert await is_answered(suite)
            was_full = True
            disk.clear()

        plan = Plan(duration_s=12, rate=10, every_s=4, seed=seed, conversations=60)
        report = await soak.run(suite, plan, fill_and_clear)
        print(soak.to_json(report, plan))
        assert was_full
        assert report.accepted == report.turns > 0
        assert (report.clients, report.log, report.postgres) == ([], [], [])
        wait_until(lambda: bool(suite.get("/v1/ops/status")["ready"]), "everything is ready", timeout_s=60)


@pytest.mark.long
async def test_suite_recovers_from_the_storage_limit_of_nats_without_a_restart(tmp_path: Path, seed: int) -> None:
    """The server's configured limit is reached: customers see the same as with a full disk."""
    with nats_with_limit(tmp_path / "nats", mib=128) as url:
        suite = Suite(tmp_path / "data", soak.environment(tmp_path) | {"TRUNKLINE_NATS_URL": url})
        try:
            await _reach_limit_under_load(suite, seed)
        finally:
            assert suite.stop() == 0


async def _reach_limit_under_load(suite: Suite, seed: int) -> None:
    bus = await connect(suite.nats_url(), "ballast")
    was_full = False

    async def fill_and_clear() -> None:
        nonlocal was_full
        if was_full:
            return
        await _fill_storage(bus)
        await wait_until_refused(suite)
        was_full = True
        await bus.api("STREAM.DELETE.BALLAST")
        await wait_until_answered(suite)

    plan = Plan(duration_s=12, rate=10, every_s=4, seed=seed, conversations=60)
    report = await soak.run(suite, plan, fill_and_clear)
    await bus.close()
    print(soak.to_json(report, plan))
    assert was_full
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


async def _fill_storage(bus: Bus) -> None:
    """Append ever smaller messages until the server refuses them."""
    await bus.api("STREAM.CREATE.BALLAST", {"name": "BALLAST", "subjects": ["ballast"], "storage": "file"})
    number = 0
    for size in (2**20, 2**14, 2**8):
        with contextlib.suppress(BusRefusedError):
            while True:
                number += 1
                await bus.append("ballast", bytes(size), message_id=f"ballast-{number}")

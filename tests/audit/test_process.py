"""The audit process: killed, started without PostgreSQL, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from trunkline_chassis.bus import Bus
from trunkline_supervisor.adapters.tcp import free_port

from tests.audit.harness import ArchiveReader, MessageProducer, wait_until, wait_until_acknowledged, wait_until_recorded
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes


class AuditProcess:
    """`python -m trunkline_audit` with an archive."""

    def __init__(self, nats_url: str, archive: ArchiveReader, log: Path) -> None:
        """Start it."""
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        environment = os.environ | {
            "TRUNKLINE_NATS_URL": nats_url,
            "TRUNKLINE_POSTGRES_DSN": archive.dsn,
            "TRUNKLINE_HTTP_PORT": str(port),
            "TRUNKLINE_AUDIT_BATCH_WAIT_S": "0.02",
        }
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trunkline_audit"], env=environment, stdout=output, stderr=output
            )

    async def page(self, path: str) -> tuple[int, str]:
        """Return status and body of one of its pages; status 0 if it does not listen yet."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def wait_for_status(self, path: str, status: int) -> None:
        """Wait until a page has a status."""

        async def has_status() -> bool:
            assert self.process.poll() is None, "the process has ended"
            return (await self.page(path))[0] == status

        await wait_until(has_status)

    def end(self, number: signal.Signals) -> int:
        """Signal it and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(15)


Start = Callable[[], AuditProcess]


@pytest.fixture
async def start(nats_url: str, archive: ArchiveReader, tmp_path: Path) -> AsyncIterator[Start]:
    """Start audit processes that are killed at the end of the test."""
    started: list[AuditProcess] = []

    def start_one() -> AuditProcess:
        started.append(AuditProcess(nats_url, archive, tmp_path / "audit.log"))
        return started[-1]

    yield start_one
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)


@asynccontextmanager
async def blocked_writes(archive: ArchiveReader) -> AsyncIterator[None]:
    """Block every writer of messages within its transaction until the block ends."""
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(archive.dsn)
        stack.push_async_callback(connection.close)
        await stack.enter_async_context(connection.transaction())
        await connection.execute("LOCK TABLE messages IN SHARE MODE")
        yield


async def test_process_killed_during_a_batch_records_exactly_once(
    bus: Bus, archive: ArchiveReader, start: Start
) -> None:
    """Rows were copied but not committed, messages not acknowledged: the next process records them once."""
    producer = MessageProducer(bus)
    first = start()
    await first.wait_for_status("/readyz", 200)
    await producer.publish_turns(50)
    await wait_until_recorded(bus, archive)
    before = await archive.messages()

    async def writer_is_blocked() -> bool:
        blocked = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%INTO messages%' AND wait_event_type = 'Lock'"
        return bool(await archive.fetch(blocked))

    async with blocked_writes(archive):
        await producer.publish_turns(50)
        await wait_until(writer_is_blocked)
        first.end(signal.SIGKILL)
        assert await archive.messages() == before
    start()
    await producer.publish_turns(50)
    await wait_until_recorded(bus, archive)
    await wait_until_acknowledged(bus)


async def test_process_waits_for_postgres_and_reports_its_lag(
    bus: Bus, archive: ArchiveReader, start: Start, postgres: PostgresServer
) -> None:
    """Without PostgreSQL it is live but not ready and its lag grows; with PostgreSQL it gets ready and catches up."""
    postgres.stop()
    process = start()
    await process.wait_for_status("/healthz", 200)
    await MessageProducer(bus).publish_turns(5)

    async def lags() -> bool:
        return _lag((await process.page("/metrics"))[1]) > 0

    async def has_caught_up() -> bool:
        return _lag((await process.page("/metrics"))[1]) == 0

    await wait_until(lags)
    assert (await process.page("/readyz"))[0] == 503
    await postgres.start()
    await process.wait_for_status("/readyz", 200)
    await wait_until_recorded(bus, archive)
    await wait_until(has_caught_up)
    assert process.end(signal.SIGTERM) == 0


def _lag(metrics: str) -> float:
    [line] = [line for line in metrics.splitlines() if line.startswith("trunkline_audit_lag_seconds ")]
    return float(line.split()[1])

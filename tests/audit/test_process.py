"""The audit process itself: killed, started without PostgreSQL, stopped."""

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

from tests.audit.archive import ArchiveReader, Speaker, everything_acknowledged, everything_recorded, until
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes


class AuditProcess:
    """`python -m trunkline_audit` against an archive."""

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
        """Read one of its pages; status 0 when it does not listen yet."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def reaches(self, path: str, status: int) -> None:
        """Wait until a page has a status."""

        async def there() -> bool:
            assert self.process.poll() is None, "the process has ended"
            return (await self.page(path))[0] == status

        await until(there)

    def end(self, how: signal.Signals) -> int:
        """Signal it and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(15)


Start = Callable[[], AuditProcess]


@pytest.fixture
async def start(nats_url: str, archive: ArchiveReader, tmp_path: Path) -> AsyncIterator[Start]:
    """Start audit processes that end with the test."""
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
    """Let every writer of messages wait, in the middle of its transaction, until the block ends."""
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(archive.dsn)
        stack.push_async_callback(connection.close)
        await stack.enter_async_context(connection.transaction())
        await connection.execute("LOCK TABLE messages IN SHARE MODE")
        yield


async def test_killed_in_mid_batch_records_exactly_once(bus: Bus, archive: ArchiveReader, start: Start) -> None:
    """Rows were copied and not committed, messages taken and not acknowledged: the next process does both once."""
    speaker = Speaker(bus)
    first = start()
    await first.reaches("/readyz", 200)
    await speaker.speak(50)
    await everything_recorded(bus, archive)
    before = await archive.messages()

    async def a_writer_waits() -> bool:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%INTO messages%' AND wait_event_type = 'Lock'"
        return bool(await archive.fetch(waiting))

    async with blocked_writes(archive):
        await speaker.speak(50)
        await until(a_writer_waits)
        first.end(signal.SIGKILL)
        assert await archive.messages() == before
    start()
    await speaker.speak(50)
    await everything_recorded(bus, archive)
    await everything_acknowledged(bus)


async def test_process_waits_for_postgres_and_tells_its_lag(
    bus: Bus, archive: ArchiveReader, start: Start, postgres: PostgresServer
) -> None:
    """Without PostgreSQL it lives, is not ready, and its lag shows; with it, it gets ready and catches up."""
    postgres.stop()
    process = start()
    await process.reaches("/healthz", 200)
    await Speaker(bus).speak(5)

    async def lags() -> bool:
        return _lag((await process.page("/metrics"))[1]) > 0

    async def has_caught_up() -> bool:
        return _lag((await process.page("/metrics"))[1]) == 0

    await until(lags)
    assert (await process.page("/readyz"))[0] == 503
    await postgres.start()
    await process.reaches("/readyz", 200)
    await everything_recorded(bus, archive)
    await until(has_caught_up)
    assert process.end(signal.SIGTERM) == 0


def _lag(metrics: str) -> float:
    [line] = [line for line in metrics.splitlines() if line.startswith("trunkline_audit_lag_seconds ")]
    return float(line.split()[1])

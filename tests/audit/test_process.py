"""The audit process: killed, started without PostgreSQL, stopped."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from trunkline_chassis.bus import Bus

from tests.audit.harness import ArchiveReader, MessageProducer, wait_until, wait_until_acknowledged, wait_until_recorded
from tests.audit.process import AuditProcesses, audit_processes
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes

LAG = "trunkline_audit_lag_seconds"


@pytest.fixture
async def start(nats_url: str, archive: ArchiveReader, tmp_path: Path) -> AsyncIterator[AuditProcesses]:
    """Start audit processes that are killed at the end of the test."""
    async with audit_processes(nats_url, archive, tmp_path / "audit.log") as processes:
        yield processes


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
    bus: Bus, archive: ArchiveReader, start: AuditProcesses
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
    bus: Bus, archive: ArchiveReader, start: AuditProcesses, postgres: PostgresServer
) -> None:
    """Without PostgreSQL it is live but not ready and its lag grows; with PostgreSQL it gets ready and catches up."""
    postgres.stop()
    process = start()
    await process.wait_for_status("/healthz", 200)
    await MessageProducer(bus).publish_turns(5)

    async def lags() -> bool:
        return await process.metric(LAG) > 0

    async def has_caught_up() -> bool:
        return await process.metric(LAG) == 0

    await wait_until(lags)
    assert (await process.page("/readyz"))[0] == 503
    await postgres.start()
    await process.wait_for_status("/readyz", 200)
    await wait_until_recorded(bus, archive)
    await wait_until(has_caught_up)
    assert process.end(signal.SIGTERM) == 0

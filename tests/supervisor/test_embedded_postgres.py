"""The embedded PostgreSQL after crashes and interrupted preparations."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.audit.harness import wait_until
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """Return a server of this test alone; an earlier preparation of its folder was interrupted."""
    incomplete = tmp_path / "data.incomplete-killed" / "base"
    incomplete.mkdir(parents=True)
    server = PostgresServer(tmp_path)
    assert not incomplete.exists()
    yield server
    server.kill()


async def test_killed_server_restarts_although_a_session_outlives_it(server: PostgresServer, tmp_path: Path) -> None:
    """A session that executes a query keeps the shared memory, and another process may have the server's old pid."""
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    observer = await asyncpg.connect(server.dsn)
    async with asyncio.TaskGroup() as tasks:
        query = tasks.create_task(_execute_until_killed(connection))

        async def query_runs() -> bool:
            return bool(
                await observer.fetch(
                    "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%generate%' AND pid <> pg_backend_pid()"
                )
            )

        await wait_until(query_runs)
        server.kill()
        lock = tmp_path / "data" / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))
        await server.start()
        await query
    again = await asyncpg.connect(server.dsn)
    assert await again.fetchval("SHOW server_encoding") == "UTF8"
    assert await again.fetchval("SHOW listen_addresses") == ""
    await again.close()


async def _execute_until_killed(connection: asyncpg.Connection) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute("SELECT sum(i) FROM generate_series(1, 100000000000) i")

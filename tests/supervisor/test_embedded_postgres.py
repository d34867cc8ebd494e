"""The embedded PostgreSQL after every kind of bad end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.audit.archive import until
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A server of this test's own, whose preparation was interrupted once before."""
    half_made = tmp_path / "data.making-killed" / "base"
    half_made.mkdir(parents=True)
    server = PostgresServer(tmp_path)
    assert not half_made.exists()
    yield server
    server.kill()


async def test_killed_server_starts_again_though_a_session_outlives_it(server: PostgresServer, tmp_path: Path) -> None:
    """A session in mid-query keeps the shared memory, and its server's old number may be somebody else's now."""
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    watching = await asyncpg.connect(server.dsn)
    async with asyncio.TaskGroup() as tasks:
        query = tasks.create_task(_never_ends(connection))

        async def runs() -> bool:
            return bool(
                await watching.fetch(
                    "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%generate%' AND pid <> pg_backend_pid()"
                )
            )

        await until(runs)
        server.kill()
        lock = tmp_path / "data" / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))
        await server.start()
        await query
    again = await asyncpg.connect(server.dsn)
    assert await again.fetchval("SHOW server_encoding") == "UTF8"
    assert await again.fetchval("SHOW listen_addresses") == "127.0.0.1"
    await again.close()


async def _never_ends(connection: asyncpg.Connection) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute("SELECT sum(i) FROM generate_series(1, 100000000000) i")

"""The archive in PostgreSQL, written by one process at a time.

The writer holds an advisory lock on the very session that it writes with: whoever loses the session loses the right
to write, and another process takes over. Rows are copied into a temporary table and go from there into `messages`
where they are missing, with the stream's position in the same transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import asyncpg
import psycopg
import structlog

from trunkline_audit.adapters.migrations import MigrationError, migrate
from trunkline_audit.core.records import Row
from trunkline_audit.ports import ArchiveTakenError, ArchiveUnavailableError

_log: Final = structlog.get_logger(__name__)

_LOCK: Final = 0x7472756E6B6C696E
"""The advisory lock's number: the letters "trunklin"."""
_CONNECT_TIMEOUT_S: Final = 5.0
_COMMAND_TIMEOUT_S: Final = 20.0
"""Shorter than the time after which an unacknowledged message is delivered again."""
_CLOSE_TIMEOUT_S: Final = 2.0

_FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that died in the middle of something
    psycopg.Error,
    OSError,
    TimeoutError,
    MigrationError,
)
_REFUSALS: Final = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.StatementTooComplexError)
"""What PostgreSQL says of JSON that jsonb cannot hold: lone surrogates, huge numbers, thousands of levels."""

_KEEPALIVE: Final = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
"""A writer whose machine is gone loses the lock after some ten seconds."""

_ARRIVING: Final = "CREATE TEMPORARY TABLE arriving (LIKE messages) ON COMMIT DELETE ROWS"
_KEEP: Final = f"""
INSERT INTO messages ({", ".join(Row._fields)})
SELECT {", ".join(Row._fields)} FROM arriving ORDER BY sequence
ON CONFLICT DO NOTHING
"""  # noqa: S608 - the names are a type's fields
_ADVANCE: Final = """
INSERT INTO positions AS known (stream, sequence, at) VALUES ($1, $2, $3)
ON CONFLICT (stream) DO UPDATE SET sequence = excluded.sequence, at = excluded.at WHERE known.at < excluded.at
"""


class PostgresArchive:
    """The database that an address names."""

    def __init__(self, dsn: str, *, name: str) -> None:
        """`name` is how the session shows in PostgreSQL's own views."""
        self._dsn = dsn
        self._name = name

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PostgresWriter]:
        """Connect, become the one writer, and bring the schema up to date."""
        with _unavailable():
            connection = await asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_TIMEOUT_S,
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings={"application_name": self._name, **_KEEPALIVE},
            )
        try:
            with _unavailable():
                if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                    raise ArchiveTakenError("another audit process writes this archive")
                applied = await asyncio.to_thread(migrate, self._dsn)
                await connection.execute(_ARRIVING)
            if applied:
                _log.info("audit.migrated", applied=applied)
            yield PostgresWriter(connection)
        finally:
            with contextlib.suppress(*_FAILURES):
                await connection.close(timeout=_CLOSE_TIMEOUT_S)


class PostgresWriter:
    """The session that holds the lock. Several streams may write at once; their transactions follow one another."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        """Made by `PostgresArchive.open`."""
        self._connection = connection
        self._turn = asyncio.Lock()

    async def position(self, stream: str) -> int:
        """Return the sequence up to which the archive has everything of a stream, 0 for nothing."""
        with _unavailable():
            known = await self._connection.fetchval("SELECT sequence FROM positions WHERE stream = $1", stream)
        return int(known or 0)

    async def write(self, rows: Sequence[Row]) -> int:
        """Keep what is missing of these rows of one stream, and its new position; return how many were missing."""
        async with self._turn:
            with _unavailable():
                try:
                    return await self._write(rows)
                except _REFUSALS:
                    return await self._write([await self._storable(row) for row in rows])

    async def _write(self, rows: Sequence[Row]) -> int:
        last = max(rows, key=lambda row: (row.at, row.sequence))
        async with self._connection.transaction():
            await self._connection.copy_records_to_table("arriving", records=rows, columns=Row._fields)
            kept = await self._connection.execute(_KEEP)
            await self._connection.execute(_ADVANCE, last.stream, last.sequence, last.at)
        return int(kept.rpartition(" ")[2])

    async def _storable(self, row: Row) -> Row:
        """Return the row without its payload when jsonb cannot hold that; the bytes stay."""
        try:
            await self._connection.execute("SELECT $1::text::jsonb", row.payload)
        except _REFUSALS as error:
            _log.warning("audit.no_jsonb", subject=row.subject, sequence=row.sequence, reason=type(error).__name__)
            return row._replace(payload=None)
        return row


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise ArchiveUnavailableError(f"PostgreSQL: {type(error).__name__}: {error}") from error

"""The archive in PostgreSQL, written by one process at a time.

The writer holds an advisory lock in the session that it writes with: if it loses the session, it can no longer write,
and another process takes over. Rows are copied into a temporary table, and from there into `messages` if they are not
stored yet, with the position of the stream in the same transaction.
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
from trunkline_audit.core.records import ArchiveRow
from trunkline_audit.ports import ArchiveLockedError, ArchiveUnavailableError

_log: Final = structlog.get_logger(__name__)

_LOCK: Final = 0x7472756E6B6C696E
"""The key of the advisory lock: the letters "trunklin"."""
_CONNECT_TIMEOUT_S: Final = 5.0
_COMMAND_TIMEOUT_S: Final = 20.0
"""Shorter than the time after which an unacknowledged message is redelivered."""
_CLOSE_TIMEOUT_S: Final = 2.0

_FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised if a connection is lost during an operation
    psycopg.Error,
    OSError,
    TimeoutError,
    MigrationError,
)
_JSONB_ERRORS: Final = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.StatementTooComplexError)
"""Errors for JSON that jsonb cannot represent: lone surrogates, huge numbers, thousands of levels."""

_KEEPALIVE: Final = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
"""A writer whose machine is lost loses the lock after about ten seconds."""

_CREATE_INCOMING: Final = "CREATE TEMPORARY TABLE incoming (LIKE messages) ON COMMIT DELETE ROWS"
_INSERT: Final = f"""
INSERT INTO messages ({", ".join(ArchiveRow._fields)})
SELECT {", ".join(ArchiveRow._fields)} FROM incoming ORDER BY sequence
ON CONFLICT DO NOTHING
"""  # noqa: S608 - the column names are fields of a type
_ADVANCE: Final = """
INSERT INTO positions AS known (stream, sequence, at) VALUES ($1, $2, $3)
ON CONFLICT (stream) DO UPDATE SET sequence = excluded.sequence, at = excluded.at WHERE known.at < excluded.at
"""


class PostgresArchive:
    """The archive in one database."""

    def __init__(self, dsn: str, *, name: str) -> None:
        """`name` is the application name of the session."""
        self._dsn = dsn
        self._name = name

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PostgresWriter]:
        """Connect, become the only writer, and migrate the schema."""
        with _map_errors():
            connection = await asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_TIMEOUT_S,
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings={"application_name": self._name, **_KEEPALIVE},
            )
        try:
            with _map_errors():
                if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                    raise ArchiveLockedError("another audit process writes this archive")
                applied = await asyncio.to_thread(migrate, self._dsn)
                await connection.execute(_CREATE_INCOMING)
            if applied:
                _log.info("schema.migrated", applied=applied)
            yield PostgresWriter(connection)
        finally:
            with contextlib.suppress(*_FAILURES):
                await connection.close(timeout=_CLOSE_TIMEOUT_S)


class PostgresWriter:
    """The session that holds the lock. Several streams may write concurrently; their transactions are serialised."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        """Use `PostgresArchive.open` to create one."""
        self._connection = connection
        self._lock = asyncio.Lock()

    async def position(self, stream: str) -> int:
        """Return the sequence up to which the archive is complete, 0 for an empty one."""
        with _map_errors():
            known = await self._connection.fetchval("SELECT sequence FROM positions WHERE stream = $1", stream)
        return int(known or 0)

    async def write(self, rows: Sequence[ArchiveRow]) -> int:
        """Store rows of one stream and its new position atomically; return the number of new rows."""
        async with self._lock:
            with _map_errors():
                try:
                    return await self._write(rows)
                except _JSONB_ERRORS:
                    return await self._write([await self._without_invalid_json(row) for row in rows])

    async def _write(self, rows: Sequence[ArchiveRow]) -> int:
        last = max(rows, key=lambda row: (row.at, row.sequence))
        async with self._connection.transaction():
            await self._connection.copy_records_to_table("incoming", records=rows, columns=ArchiveRow._fields)
            status = await self._connection.execute(_INSERT)
            await self._connection.execute(_ADVANCE, last.stream, last.sequence, last.at)
        return int(status.rpartition(" ")[2])

    async def _without_invalid_json(self, row: ArchiveRow) -> ArchiveRow:
        """Return the row without its payload if jsonb cannot represent it; the bytes are kept."""
        try:
            await self._connection.execute("SELECT $1::text::jsonb", row.payload)
        except _JSONB_ERRORS as error:
            _log.warning(
                "payload.jsonb_rejected", subject=row.subject, sequence=row.sequence, reason=type(error).__name__
            )
            return row._replace(payload=None)
        return row


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise ArchiveUnavailableError(f"PostgreSQL: {type(error).__name__}: {error}") from error

"""Connections to PostgreSQL, and leases of the only process that may do something.

A lease is a row that every transaction of its holder renews, if its epoch is still the holder's own. Nothing belongs to
a session, so that a connection pool such as pgbouncer may give each transaction another connection, and connections are
opened without start parameters.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import asyncpg
import psycopg

from trunkline_audit.adapters.migrations import MigrationError
from trunkline_audit.ports import ArchiveLockedError, ArchiveUnavailableError

RENEW_INTERVAL_S: Final = 3.0
LEASE_S: Final = 10.0
_CONNECT_TIMEOUT_S: Final = 5.0
_COMMAND_TIMEOUT_S: Final = 20.0
"""Shorter than the time after which an unacknowledged message is redelivered."""
_CLOSE_TIMEOUT_S: Final = 2.0

FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised if a connection is lost during an operation
    psycopg.Error,
    OSError,
    TimeoutError,
    MigrationError,
)

_ACQUIRE: Final = """
INSERT INTO writers AS known (name, holder, epoch, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = known.epoch + 1, expires_at = excluded.expires_at
WHERE known.holder = excluded.holder OR known.expires_at < clock_timestamp()
RETURNING epoch
"""
_RENEW: Final = """
UPDATE writers SET expires_at = clock_timestamp() + make_interval(secs => $3)
WHERE name = $1 AND epoch = $2 RETURNING epoch
"""
_RELEASE: Final = "UPDATE writers SET expires_at = '-infinity' WHERE name = $1 AND epoch = $2"


@asynccontextmanager
async def connected(dsn: str, *, command_timeout_s: float = _COMMAND_TIMEOUT_S) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection until the block ends; raises `ArchiveUnavailableError`."""
    with map_errors():
        connection = await asyncpg.connect(
            dsn, timeout=_CONNECT_TIMEOUT_S, command_timeout=command_timeout_s, statement_cache_size=0
        )
    try:
        yield connection
    finally:
        with contextlib.suppress(*FAILURES):
            await connection.close(timeout=_CLOSE_TIMEOUT_S)


@contextmanager
def map_errors() -> Iterator[None]:
    """Raise `ArchiveUnavailableError` for any error of the database or of its connection."""
    try:
        yield
    except FAILURES as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ArchiveUnavailableError(f"PostgreSQL: {type(error).__name__}: {reason}") from error


class Lease:
    """The right to be the only process that does something, until it expires."""

    def __init__(self, connection: asyncpg.Connection, name: str, *, purpose: str, seconds: float = LEASE_S) -> None:
        """`purpose` completes the error: another process `purpose`."""
        self._connection = connection
        self._name = name
        self._purpose = purpose
        self._seconds = seconds
        self._epoch = 0

    async def acquire(self, holder: str) -> None:
        """Become the holder; raises `ArchiveLockedError` while another one is."""
        with map_errors():
            async with self._connection.transaction():
                epoch = await self._connection.fetchval(_ACQUIRE, self._name, holder, self._seconds)
        if epoch is None:
            raise ArchiveLockedError(f"another process {self._purpose}")
        self._epoch = epoch

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Run the block in a transaction that renews the lease; raises `ArchiveLockedError` if it is lost."""
        with map_errors():
            async with self._connection.transaction():
                if await self._connection.fetchval(_RENEW, self._name, self._epoch, self._seconds) is None:
                    raise ArchiveLockedError(f"another process {self._purpose} since")
                yield

    async def release(self) -> None:
        """Let the next process acquire it at once; without a connection it expires."""
        with contextlib.suppress(*FAILURES):
            async with self._connection.transaction():
                await self._connection.execute(_RELEASE, self._name, self._epoch)

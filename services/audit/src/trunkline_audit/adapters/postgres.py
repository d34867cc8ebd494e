"""The archive in PostgreSQL, written by one process at a time, the holder of a lease.

Rows that are stored already change nothing. The position of the stream and the place of every row in the tree of
records are written in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import asyncpg
import structlog
from prometheus_client import Counter

from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.home_region import claim_home
from trunkline_audit.adapters.migrations import known_migrations, migrate
from trunkline_audit.adapters.record_tree import (
    add_head,
    add_key,
    add_tiles,
    grow,
    last_head,
    load_tree,
    number_older,
)
from trunkline_audit.adapters.session import RENEW_INTERVAL_S, Lease, connected, map_errors
from trunkline_audit.core.heads import TreeHead
from trunkline_audit.core.merkle import GrowingTree
from trunkline_audit.core.records import ArchiveRow, row_variants
from trunkline_audit.ports import ArchiveLockedError

_log: Final = structlog.get_logger(__name__)
_SKIPPED: Final = Counter("trunkline_audit_skipped_total", "Messages that PostgreSQL refused in every form", ["stream"])

_LOCK: Final = 0x7472756E6B6C696E
"""The key of the advisory lock of a migration: the letters "trunklin"."""
HEAD_INTERVAL_S: Final = 1.0
_MAX_RECORDS_WITHOUT_HEAD: Final = 1_000

_ROW_ERRORS: Final = (
    asyncpg.DataError,  # not representable: as jsonb, or in the encoding of the database
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.StatementTooComplexError,
    asyncpg.RaiseError,  # a trigger of the operator
)
"""Errors of a row that the next attempt would meet again."""

_TYPES: Final = {
    "sequence": "bigint",
    "at": "timestamptz",
    "received_at": "timestamptz",
    "raw": "bytea",
    "sha256": "bytea",
    "leaf": "bigint",
}
_COLUMNS: Final = (*ArchiveRow._fields, "leaf")
_INSERT: Final = f"""
INSERT INTO messages ({", ".join(_COLUMNS)})
SELECT {", ".join("payload::jsonb" if name == "payload" else name for name in _COLUMNS)}
FROM unnest({
    ", ".join(f"${number}::{_TYPES.get(name, 'text')}[]" for number, name in enumerate(_COLUMNS, 1))
}) AS incoming ({", ".join(_COLUMNS)})
ORDER BY leaf
ON CONFLICT (stream, sequence, at) DO NOTHING
"""  # noqa: S608 - the column names are fields of a type
# A message that was appended again under its sequence, when a restored stream was rolled forward, has a later time.
_KNOWN: Final = """
SELECT stream, sequence, at
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::bytea[]) AS incoming (stream, sequence, at, sha256)
WHERE EXISTS (
    SELECT FROM messages AS known WHERE (known.stream, known.sequence) = (incoming.stream, incoming.sequence)
    AND (known.at = incoming.at OR known.sha256 = incoming.sha256)
)
"""
_ADVANCE: Final = """
INSERT INTO positions AS known (stream, sequence, at) VALUES ($1, $2, $3)
ON CONFLICT (stream) DO UPDATE SET sequence = excluded.sequence, at = excluded.at WHERE known.at < excluded.at
"""
_SKIP: Final = """
INSERT INTO skipped (stream, sequence, at, reason) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_APPLIED: Final = "SELECT migration_id FROM _yoyo_migration"


class PostgresArchive:
    """The archive in one database."""

    def __init__(
        self,
        dsn: str,
        *,
        name: str,
        heads: HeadSigner,
        head_every_s: float = HEAD_INTERVAL_S,
        on_head: Callable[[TreeHead], None] = lambda _: None,
    ) -> None:
        """`name` is the name of this process, which takes its own lease over at once after a restart.

        `on_head` receives each head that is stored, and first the last one of the writer before.
        """
        self._dsn = dsn
        self._name = name
        self._heads = heads
        self._head_every_s = head_every_s
        self._on_head = on_head
        self._has_warned = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PostgresWriter]:
        """Connect, migrate the schema, and become the only writer; the database must be that of this region."""
        async with connected(self._dsn) as connection:
            lease = Lease(connection, "audit", purpose="writes this archive")
            with map_errors():
                await self._migrate(connection)
                await claim_home(connection, self._heads.log)
                await lease.acquire(self._name)
                await self._warn_of_encoding(connection)
            writer = PostgresWriter(
                connection, lease, self._heads, head_every_s=self._head_every_s, on_head=self._on_head
            )
            try:
                await writer.prepare()
                yield writer
                await writer.sign_head()
            finally:
                await lease.release()

    async def _migrate(self, connection: asyncpg.Connection) -> None:
        """Migrate if there is something to do, under a lock that ends with its transaction."""
        async with connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                raise ArchiveLockedError("another audit process migrates this archive")
            has_record = await connection.fetchval("SELECT to_regclass('_yoyo_migration') IS NOT NULL")
            applied = {row[0] for row in await connection.fetch(_APPLIED)} if has_record else set()
            if known_migrations() <= applied:
                return
            new = await asyncio.to_thread(migrate, self._dsn)
        _log.info("schema.migrated", applied=new)

    async def _warn_of_encoding(self, connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            encoding = await connection.fetchval("SHOW server_encoding")
        if encoding != "UTF8" and not self._has_warned:
            self._has_warned = True
            _log.warning("archive.encoding_limited", encoding=encoding)


class PostgresWriter:
    """The holder of the lease. Several streams may write concurrently; their transactions are serialised."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        lease: Lease,
        heads: HeadSigner,
        *,
        head_every_s: float,
        on_head: Callable[[TreeHead], None],
    ) -> None:
        """Use `PostgresArchive.open` to create one."""
        self._connection = connection
        self._lease = lease
        self._heads = heads
        self._head_every_s = head_every_s
        self._on_head = on_head
        self._lock = asyncio.Lock()
        self._tree = GrowingTree()
        self._signed = 0
        """Size of the last head."""
        self._recorded: dict[str, datetime] = {}
        """Time of the last recorded message of each stream."""

    async def prepare(self) -> None:
        """Load the tree and number the rows that are older than it."""
        async with self._lease.transaction():
            self._tree = await load_tree(self._connection)
            last = await last_head(self._connection)
            if self._heads.key_name:
                await add_key(self._connection, self._heads.key_name, self._heads.public_key)
        if last is not None:
            self._signed = last.size
            self._on_head(last)
        has_more = True
        while has_more:
            async with self._growing() as tree:
                has_more = await number_older(self._connection, tree)

    async def position(self, stream: str) -> int:
        """Return the sequence up to which the archive is complete, 0 for an empty one."""
        async with self._lock, self._lease.transaction():
            known = await self._connection.fetchrow("SELECT sequence, at FROM positions WHERE stream = $1", stream)
        if known is None:
            return 0
        self._recorded[stream] = known["at"]
        return int(known["sequence"])

    async def hold(self) -> None:
        """Renew the lease until cancelled; raises `ArchiveLockedError` if another process has acquired it."""
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            async with self._lock, self._lease.transaction():
                pass

    async def sign_heads(self) -> None:
        """Sign a head a second by default, if there are new records, until cancelled."""
        while True:
            await asyncio.sleep(self._head_every_s)
            await self.sign_head()

    async def sign_head(self) -> None:
        """Sign the head of the tree, if there are records since the last one."""
        if self._tree.size <= self._signed:
            return
        async with self._growing() as tree:
            if tree.size <= self._signed:  # by another caller, while this one waited
                return
            head = self._heads.head_of(tree)
            await add_head(self._connection, head)
        self._signed = tree.size
        self._on_head(head)

    async def write(self, rows: Sequence[ArchiveRow]) -> int:
        """Store rows of one stream and its new position atomically; return the number of new rows."""
        last = max(rows, key=lambda row: (row.at, row.sequence))
        async with self._growing() as tree:
            stored = await self._store(await self._new(rows), tree.size)
            await add_tiles(self._connection, grow(tree, stored))
            await self._connection.execute(_ADVANCE, last.stream, last.sequence, last.at)
        self._recorded[last.stream] = max(last.at, self._recorded.get(last.stream, last.at))
        if tree.size - self._signed >= _MAX_RECORDS_WITHOUT_HEAD:
            await self.sign_head()
        return len(stored)

    @asynccontextmanager
    async def _growing(self) -> AsyncIterator[GrowingTree]:
        """Run the block in a transaction with a copy of the tree, which replaces it once that is committed."""
        async with self._lock:
            tree = self._tree.copy()
            async with self._lease.transaction():
                yield tree
            self._tree = tree

    async def _new(self, rows: Sequence[ArchiveRow]) -> list[ArchiveRow]:
        """Return the rows that are not stored yet, each once: those later than the last one need no question."""
        found = {(row.stream, row.sequence, row.at): row for row in rows}
        recorded = self._recorded.get(rows[0].stream)
        doubtful = [(*key, row.sha256) for key, row in found.items() if recorded is not None and key[2] <= recorded]
        if doubtful:
            for known in await self._connection.fetch(_KNOWN, *map(list, zip(*doubtful, strict=True))):
                del found[known["stream"], known["sequence"], known["at"]]
        return list(found.values())

    async def _store(self, rows: Sequence[ArchiveRow], leaf: int) -> list[ArchiveRow]:
        """Store rows from a leaf on and return them as they are stored; those that PostgreSQL refuses are left out."""
        if not rows:
            return []
        try:
            async with self._connection.transaction():
                if await self._insert(rows, leaf) == len(rows):
                    return list(rows)
                raise asyncpg.UniqueViolationError("a row is stored already")
        except _ROW_ERRORS:
            stored: list[ArchiveRow] = []
            for row in rows:
                stored += await self._store_alone(row, leaf + len(stored))
            return stored

    async def _insert(self, rows: Sequence[ArchiveRow], leaf: int) -> int:
        columns = [*map(list, zip(*rows, strict=True)), list(range(leaf, leaf + len(rows)))]
        status = await self._connection.execute(_INSERT, *columns)
        return int(status.rpartition(" ")[2])

    async def _store_alone(self, row: ArchiveRow, leaf: int) -> list[ArchiveRow]:
        """Store a row in the first form that PostgreSQL accepts; if it accepts none, record that and go on."""
        reason = ""
        for variant in row_variants(row):
            try:
                async with self._connection.transaction():
                    new = await self._insert([variant], leaf)
            except _ROW_ERRORS as error:
                reason = type(error).__name__
            else:
                if variant != row:
                    _log.warning("record.reduced", subject=row.subject, sequence=row.sequence, reason=reason)
                return [variant] if new else []
        _log.error("record.skipped", stream=row.stream, sequence=row.sequence, reason=reason)
        _SKIPPED.labels(row.stream).inc()
        await self._connection.execute(_SKIP, row.stream, row.sequence, row.at, reason)
        return []

"""The records in PostgreSQL, as retention reads, marks and trims them.

Reads have a connection of their own, so that the lease is renewed while a long one goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, Final

import asyncpg
from trunkline_protocols import codec, streams
from trunkline_protocols.holds import HoldMessage

from trunkline_audit.adapters import retention_queries as queries
from trunkline_audit.adapters.home_region import require_home
from trunkline_audit.adapters.session import LEASE_S, Lease, connected, map_errors
from trunkline_audit.adapters.tree_reader import TreeReader, record_entry, row_of_record
from trunkline_audit.core.retention.decisions import RecordGroup
from trunkline_audit.core.retention.manifest import ArchiveObject, ArchiveRun
from trunkline_audit.core.retention.policy import KIND_OF_STREAM
from trunkline_audit.core.retention.trimming import PendingRecord, StoredKey

_READ_TIMEOUT_S: Final = 600.0
_PAGE: Final = 500
"""Conversations, or single records, per page."""
_RENEWALS_PER_LEASE: Final = 3


class PostgresRetention:
    """The records of one database."""

    def __init__(self, dsn: str, *, holder: str, region: str, lease_s: float = LEASE_S) -> None:
        """`holder` names this process, which takes its own lease over at once; `region` must own the database."""
        self._dsn = dsn
        self._region = region
        self._holder = holder
        self._lease_s = lease_s

    @asynccontextmanager
    async def open(self, *, locked: bool) -> AsyncIterator[PostgresRetentionSession]:
        """Connect and, if `locked`, become the only run; another region's database raises `ArchiveElsewhereError`."""
        async with AsyncExitStack() as stack:
            reader = await stack.enter_async_context(connected(self._dsn, command_timeout_s=_READ_TIMEOUT_S))
            writer = await stack.enter_async_context(connected(self._dsn, command_timeout_s=_READ_TIMEOUT_S))
            with map_errors():
                await require_home(reader, self._region)
            lease = Lease(writer, "retention", purpose="runs retention on this archive", seconds=self._lease_s)
            if locked:
                await lease.acquire(self._holder)
                stack.push_async_callback(lease.release)
            yield PostgresRetentionSession(reader, writer, lease, renew_every_s=self._lease_s / _RENEWALS_PER_LEASE)


class PostgresRetentionSession:
    """One run, or one plan. Use `PostgresRetention.open` to create one."""

    def __init__(
        self, reader: asyncpg.Connection, writer: asyncpg.Connection, lease: Lease, *, renew_every_s: float
    ) -> None:
        """Read and write with a connection each."""
        self._reader = reader
        self._writer = writer
        self._lease = lease
        self._renew_every_s = renew_every_s
        self._mutex = asyncio.Lock()

    async def hold(self) -> None:
        """Renew the lease until cancelled."""
        while True:
            await asyncio.sleep(self._renew_every_s)
            async with self._writing():
                pass

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[asyncpg.Connection]:
        with map_errors():
            async with self._reader.transaction(isolation="repeatable_read", readonly=True):
                yield self._reader

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._mutex, self._lease.transaction():
            yield self._writer

    # -- reading ---

    async def header(self, size: int = 0) -> list[dict[str, Any]]:
        """Return log and head of an export, by default of the latest head; empty if there is no head."""
        async with self._reading() as connection:
            tree = TreeReader(connection)
            head = await tree.head(size)
            return [await tree.log(whole=False), head] if head is not None else []

    async def groups(
        self, size: int, *, closed_before: datetime | None, single_before: datetime | None
    ) -> AsyncIterator[Sequence[RecordGroup]]:
        """Yield the records below a head that are not archived, in groups."""
        for query in (queries.CLOSED, queries.REMAINDERS) if closed_before is not None else ():
            after = ""
            while conversations := [each[0] for each in await self._fetch(query, size, closed_before, after, _PAGE)]:
                after = conversations[-1]
                yield await self._of_conversations(conversations, size)
        leaf = -1
        while single_before is not None and (
            found := await self._fetch(queries.SINGLE, size, single_before, leaf, _PAGE)
        ):
            leaf = found[-1]["leaf"]
            parties = await self._parties([each["conversation"] for each in found if each["conversation"]])
            yield [_single(each, parties) for each in found]

    async def _of_conversations(self, conversations: Sequence[str], size: int) -> list[RecordGroup]:
        found = await self._fetch(queries.OF_CONVERSATIONS, conversations, size)
        parties = await self._parties(conversations)
        last: dict[str, datetime] = {}
        unsigned = {each["conversation"] for each in found if not each["signed"]}
        for each in found:
            last[each["conversation"]] = max(each["last_at"], last.get(each["conversation"], each["last_at"]))
        groups = []
        for each in found:
            name = each["conversation"]
            if not each["records"]:
                continue
            tenant, customer = parties.get(name, (None, None))
            groups.append(
                RecordGroup(
                    kind=KIND_OF_STREAM[each["stream"]],
                    stream=each["stream"],
                    region=each["region"],
                    conversation=name,
                    tenant=tenant,
                    customer=customer,
                    last_at=last[name],
                    first_at=each["first_at"],
                    records=each["records"],
                    bytes=each["bytes"],
                    is_complete=name not in unsigned,
                )
            )
        return groups

    async def _parties(self, conversations: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
        """Return tenant and customer of conversations, as far as they are known."""
        found: dict[str, tuple[str | None, str | None]] = {}
        for each in await self._fetch(queries.PARTIES, list(dict.fromkeys(conversations))):
            found[each["conversation"]] = queries.parties_of(each["raw"])
        for each in await self._fetch(queries.KNOWN_PARTIES, list(conversations)):
            if each["tenant"] is not None:
                found[each["conversation"]] = (each["tenant"], each["customer"])
        return found

    async def holds(self) -> Sequence[HoldMessage]:
        """Return the recorded holds and releases; raises `DecodeError` if one cannot be read."""
        found = await self._fetch("SELECT raw FROM messages WHERE stream = $1 ORDER BY leaf", streams.HOLDS.name)
        return [codec.hold.decode(each["raw"]) for each in found]

    async def records(self, groups: Sequence[RecordGroup], size: int) -> list[dict[str, Any]]:
        """Return the records of groups with their proofs, by conversation and leaf."""
        whole = [(group.conversation, group.stream) for group in groups if group.leaf is None]
        single = [group.leaf for group in groups if group.leaf is not None]
        async with self._reading() as connection:
            names, of = [name for name, _ in whole], [stream for _, stream in whole]
            found = await connection.fetch(queries.RECORDS, names, of, single, size)
            proofs = await TreeReader(connection).proofs([each["leaf"] for each in found], size)
        entries = [
            record_entry(each["leaf"], row_of_record(each)) | {"size": size, "proof": [step.hex() for step in proof]}
            for each, proof in zip(found, proofs, strict=True)
        ]
        order = {each["leaf"]: (each["conversation"] or "", each["leaf"]) for each in found}
        return sorted(entries, key=lambda entry: order[entry["leaf"]])

    async def _fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        async with self._reading() as connection:
            return list(await connection.fetch(query, *values))

    # -- runs ---

    async def unverified(self) -> ArchiveRun | None:
        """Return the run that was interrupted before its archive was verified."""
        found = await self._fetch(queries.UNVERIFIED)
        return ArchiveRun(*(found[0][name] for name in ("name", "as_of", "size", "location"))) if found else None

    async def start(self, run: ArchiveRun) -> None:
        """Store a new run."""
        async with self._writing() as connection:
            await connection.execute(queries.START, run.name, run.as_of, run.size, run.location)

    async def objects(self, run: ArchiveRun) -> list[ArchiveObject]:
        """Return the objects of a run, in order."""
        return [queries.object_of_record(each) for each in await self._fetch(queries.OBJECTS, run.name)]

    async def add_object(
        self, run: ArchiveRun, number: int, written: ArchiveObject, groups: Sequence[RecordGroup], leaves: Sequence[int]
    ) -> None:
        """Store that records are in an object."""
        conversations = {
            group.conversation: (group.conversation, group.region, group.tenant, group.customer)
            for group in groups
            if group.conversation is not None and group.leaf is None
        }
        async with self._writing() as connection:
            id_ = await connection.fetchval(
                queries.ADD_OBJECT,
                *(run.name, number, written.name, written.sha256, written.bytes, written.records),
                *(written.first_leaf, written.last_leaf),
            )
            await connection.execute(queries.MARK, id_, leaves)
            await connection.executemany(queries.ADD_CONVERSATION, list(conversations.values()))

    async def set_verified(self, run: ArchiveRun, at: datetime) -> None:
        """Store that the archive of a run was read back and verified."""
        async with self._writing() as connection:
            await connection.execute("UPDATE archive_runs SET verified_at = $2 WHERE name = $1", run.name, at)

    # -- trimming ---

    async def pending(self) -> AsyncIterator[Sequence[PendingRecord]]:
        """Yield the records of verified archives that still have their bytes, object by object."""
        for each in await self._fetch(queries.PENDING_OBJECTS):
            found = await self._fetch(queries.PENDING, each["archived"])
            parties = await self._parties([row["conversation"] for row in found if row["conversation"]])
            yield [_pending(row, parties) for row in found]

    async def stored(self, conversations: Sequence[str]) -> frozenset[StoredKey]:
        """Return the records of conversations that verified archives have."""
        found = await self._fetch(queries.STORED, conversations)
        return frozenset(StoredKey(each["stream"], each["sequence"], each["sha256"]) for each in found)

    async def trim(self, records: Sequence[PendingRecord], at: datetime) -> int:
        """Remove the bytes of records, if a verified archive has them; return their number."""
        logs = [record.conversation for record in records if record.stream == streams.CONVERSATIONS.name]
        async with self._writing() as connection:
            status = await connection.execute(queries.TRIM, [record.leaf for record in records])
            await connection.execute(queries.SET_TRIMMED, logs, at)
        return int(status.rpartition(" ")[2])

    async def expired_markers(self, before: datetime) -> list[tuple[str, str]]:
        """Return some conversations that were trimmed before a time and still have a marker, with their regions."""
        found = await self._fetch(queries.EXPIRED_MARKERS, before, _PAGE)
        return [(each["conversation"], each["region"]) for each in found]

    async def set_marker_purged(self, conversations: Sequence[str]) -> None:
        """Store that the markers of conversations are gone."""
        async with self._writing() as connection:
            await connection.execute(queries.SET_MARKER_PURGED, conversations)


def _pending(record: asyncpg.Record, parties: dict[str, tuple[str | None, str | None]]) -> PendingRecord:
    tenant, customer = parties.get(record["conversation"], (None, None))
    return PendingRecord(record["leaf"], record["stream"], record["region"], record["conversation"], tenant, customer)


def _single(record: asyncpg.Record, parties: dict[str, tuple[str | None, str | None]]) -> RecordGroup:
    tenant, customer = parties.get(record["conversation"], (None, None))
    kind = KIND_OF_STREAM[record["stream"]]
    return RecordGroup(
        kind=kind,
        stream=record["stream"],
        region=record["region"],
        conversation=record["conversation"],
        tenant="" if kind == "notice" else tenant,
        customer="" if kind == "notice" else customer,
        last_at=record["at"],
        first_at=record["at"],
        records=1,
        bytes=record["bytes"],
        leaf=record["leaf"],
    )

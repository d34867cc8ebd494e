"""Use cases of an auditor, on one view of the archive."""

from __future__ import annotations

import asyncio
import configparser
import json
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import quote

import asyncpg
from trunkline_audit.adapters.archive_check import check_archives
from trunkline_audit.adapters.tree_reader import IncompleteTreeError, TreeReader, open_tree, record_entry
from trunkline_audit.core import timestamp_verifier, verifier
from trunkline_audit.core.records import ArchiveRow, changed_columns
from trunkline_chassis.object_store import ObstoreObjectStore

from trunkline_cli.errors import CommandError

EXPORT_NAME: Final = "export.jsonl"
VERIFIER_NAME: Final = "verify.py"
TIMESTAMPS_NAME: Final = "timestamps.jsonl"
TIMESTAMP_VERIFIER_NAME: Final = "verify_timestamps.py"
ORIGIN: Final = "head in NATS"
"""Of a head of stream HEADS, in a fault."""
_FOLLOW_INTERVAL_S: Final = 1.0


def archive_address(dsn: str | None, data_dir: Path) -> str:
    """Return the given address of PostgreSQL, or the one of a suite whose data folder is on this machine."""
    if dsn:
        return dsn
    file = data_dir / "secrets" / "pg_service.conf"
    services = configparser.ConfigParser(interpolation=None)
    try:
        services.read_string(file.read_text(encoding="utf-8-sig"))
        values = services["trunkline"]
    except (OSError, KeyError, configparser.Error) as error:
        raise CommandError(
            f"no PostgreSQL: {file} cannot be read; name one with --postgres or TRUNKLINE_POSTGRES_DSN"
        ) from error
    user, password, name = (quote(values[key], safe="") for key in ("user", "password", "dbname"))
    return f"postgresql://{user}:{password}@/{name}?host={quote(values['host'], safe='')}&port={values['port']}"


class AuditVerification(verifier.Verification):
    """The verification of a database, with that of the archives that its records went to."""

    in_archives: int = 0
    """Records that archives were found to have."""
    unread: Sequence[str] = ()
    """Archives that cannot be read now, with the reasons."""
    in_stream: int = 0
    """Heads of stream HEADS that were compared."""
    timestamps: int = 0
    """Timestamps of authorities that were checked."""
    leaves: Sequence[int] = ()
    """Leaves of the records, if they are those of one conversation."""

    def check_row(self, entry: dict[str, Any], row: ArchiveRow) -> None:
        """Check the entry of a record, and the columns of its row against its bytes."""
        self.check(entry)
        for name in changed_columns(row):
            self.add_fault(f"record {entry['leaf']}: column {name} was changed")


async def verify(
    dsn: str, witness: Path | None, key: str, in_stream: Sequence[dict[str, Any]] = ()
) -> AuditVerification:
    """Verify all records against their heads, the columns of each row against its bytes, and the archives.

    `in_stream` are the heads of stream HEADS, which were read before: each is stored in the database first.
    """
    checked = _verification(witness, key, [head | {"origin": ORIGIN} for head in in_stream])
    missing = {(head["size"], head["root"]) for head in in_stream}
    async with _archive(dsn) as tree:
        checked.check(await tree.log(whole=True))
        async for entry, row in _entries(tree):
            if row is not None:
                checked.check_row(entry, row)
            else:
                checked.check(entry)
                missing.discard((entry["size"], entry["root"]))
        checked.finish()
        unnumbered = await tree.unnumbered()
        archives = await check_archives(tree.connection, ObstoreObjectStore, key)
    if unnumbered:
        checked.add_fault(f"{unnumbered} rows have no place in the tree: they were not written by audit")
    for fault in (*archives.faults, *_missing_heads(missing)):
        checked.add_fault(fault)
    checked.in_stream = len(in_stream)
    checked.in_archives, checked.unread = archives.verified, archives.unread
    return checked


async def verify_conversation(dsn: str, conversation: str, witness: Path | None, key: str) -> AuditVerification:
    """Verify the records that a conversation has below the latest head, by their proofs; raises `CommandError`."""
    checked = _verification(witness, key)
    async with _archive(dsn) as tree:
        latest = await _latest_head(tree)
        log, proven = await tree.log(whole=False), await tree.proven(conversation, latest["size"])
    if not proven:
        raise CommandError(f"the archive has no record of conversation {conversation} below its latest head")
    for entry in (log, latest):
        checked.check(entry)
    for row, entry in proven:
        checked.check_row(entry, row)
    checked.finish()
    checked.leaves = [entry["leaf"] for _, entry in proven]
    return checked


def _verification(witness: Path | None, key: str, published: Sequence[dict[str, Any]] = ()) -> AuditVerification:
    """Begin a verification with the heads that are known from elsewhere; raises `CommandError` for unusable ones."""
    try:
        return AuditVerification([*(verifier.read_heads(witness) if witness is not None else ()), *published], key)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error


async def _latest_head(tree: TreeReader) -> dict[str, Any]:
    latest = await tree.head()
    if latest is None:
        raise CommandError("the archive has no head yet")
    return latest


async def verify_timestamps(dsn: str, authorities: Path) -> tuple[int, list[str]]:
    """Check the timestamps of heads with the certificates of a file; return their number and the faults."""
    async with _archive(dsn) as tree:
        timestamps = await tree.timestamps()
        sizes = {timestamp["size"] for timestamp in timestamps}
        heads = [head async for head in tree.heads() if head["size"] in sizes]
    try:
        certificates = await asyncio.to_thread(authorities.read_bytes)
        return len(timestamps), timestamp_verifier.check_timestamps(timestamps, heads, certificates)
    except (OSError, ValueError) as error:
        raise CommandError(f"{authorities}: {error}") from error


async def _entries(tree: TreeReader) -> AsyncIterator[tuple[dict[str, Any], ArchiveRow | None]]:
    """Yield each head before the last of its records, so that only a few are in memory; a record has its row."""
    heads = tree.heads()
    head = await anext(heads, None)
    async for leaf, row in tree.rows():
        while head is not None and head["size"] <= leaf + 1:
            yield head, None
            head = await anext(heads, None)
        yield record_entry(leaf, row), row
    while head is not None:
        yield head, None
        head = await anext(heads, None)


def _missing_heads(missing: Collection[tuple[int, str]]) -> list[str]:
    """Return a fault if stream HEADS has heads, of these sizes and roots, that the database lacks."""
    if not missing:
        return []
    first = min(size for size, _ in missing)
    return [f"{len(missing)} heads of stream HEADS are not in the database, the first one of {first} records"]


async def export(dsn: str, folder: Path) -> int:
    """Write all records and heads to a new folder, with the file that checks them; return the number of records."""
    try:
        await asyncio.to_thread(folder.mkdir, 0o700, parents=True)  # texts of customers
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror}; name a new folder") from error
    records = 0
    async with _archive(dsn) as tree:
        with (folder / EXPORT_NAME).open("x", encoding="utf-8") as file:
            write_entry(file, await tree.log(whole=True))
            async for entry, row in _entries(tree):
                write_entry(file, entry)
                records += row is not None
        with (folder / TIMESTAMPS_NAME).open("x", encoding="utf-8") as file:
            for timestamp in await tree.timestamps():
                write_entry(file, timestamp)
    for name, module in ((VERIFIER_NAME, verifier), (TIMESTAMP_VERIFIER_NAME, timestamp_verifier)):
        source = await asyncio.to_thread(Path(module.__file__ or "").read_bytes)
        await asyncio.to_thread((folder / name).write_bytes, source)
    return records


async def prove(dsn: str, conversation: str, since: int, out: TextIO) -> int:
    """Print the records of a conversation with their proofs, as an export; return their number.

    With `since`, the size of an earlier head, also the proof that the latest head continues that one.
    """
    async with _archive(dsn) as tree:
        latest = await _latest_head(tree)
        size = latest["size"]
        earlier = await tree.head(since) if since else None
        if since and earlier is None:
            raise CommandError(f"there is no head of {since} records; `trunkline audit heads` lists them")
        continued = [earlier, await tree.consistency(since, size)] if earlier is not None else []
        records = [entry for _, entry in await tree.proven(conversation, size)]
        for entry in (await tree.log(whole=False), latest, *continued, *records):
            write_entry(out, entry)
    return len(records)


async def print_heads(dsn: str, out: TextIO, *, after: int, follow: bool) -> None:
    """Print the heads of more than `after` records; with `follow`, the new ones too, until cancelled."""
    while True:
        async with _archive(dsn) as tree:
            async for head in tree.heads(after=after):
                write_entry(out, head)
                after = head["size"]
        out.flush()
        if not follow:
            return
        await asyncio.sleep(_FOLLOW_INTERVAL_S)


@asynccontextmanager
async def _archive(dsn: str) -> AsyncIterator[TreeReader]:
    with _map_errors():
        async with open_tree(dsn) as tree:
            yield tree


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except asyncpg.UndefinedTableError as error:
        raise CommandError("the database has no tree of records: audit of this version has not run on it") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        raise CommandError(f"PostgreSQL: {type(error).__name__}: {error}") from error
    except IncompleteTreeError as error:
        raise CommandError(f"no proof: {error}") from error


def write_entry(out: TextIO, entry: dict[str, Any]) -> None:
    """Write an entry of an export as a line."""
    out.write(f"{json.dumps(entry, ensure_ascii=False)}\n")

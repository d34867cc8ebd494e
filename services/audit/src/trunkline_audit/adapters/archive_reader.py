"""Records in verified archives: which object has them, and their bytes from the object store."""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from trunkline_protocols.archives import ArchivedRecord, ArchivedRecords, ReadArchived

from trunkline_audit.adapters.session import connected, map_errors
from trunkline_audit.adapters.tree_reader import RECORD_FIELDS, row_of_record
from trunkline_audit.core.records import ArchiveRow
from trunkline_audit.core.retention.manifest import unpack
from trunkline_audit.core.verifier import sha256
from trunkline_audit.ports import ArchiveDamagedError, ArchiveObjects

_OBJECTS: Final = """
SELECT id, run, location, archive_objects.name FROM archive_objects JOIN archive_runs ON archive_runs.name = run
WHERE verified_at IS NOT NULL ORDER BY id
"""
_IN_OBJECT: Final = f"SELECT leaf, {RECORD_FIELDS} FROM messages WHERE archived = $1 AND archived IS NOT NULL"  # noqa: S608 - constants
_LOST: Final = """
SELECT leaf FROM messages WHERE raw IS NULL AND (archived IS NULL OR archived NOT IN (
    SELECT id FROM archive_objects JOIN archive_runs ON archive_runs.name = run WHERE verified_at IS NOT NULL
)) ORDER BY leaf LIMIT 100
"""
_OF_CONVERSATION: Final = """
SELECT leaf, stream, sequence, subject, at, raw, messages.sha256, run, location, archive_objects.name
FROM messages
LEFT JOIN archive_objects ON archive_objects.id = archived
LEFT JOIN archive_runs ON archive_runs.name = run
WHERE conversation = $1 AND leaf > $2 AND (verified_at IS NOT NULL OR $4 AND raw IS NOT NULL) ORDER BY leaf LIMIT $3
"""
_PAGE: Final = 500
_MAX_REPLY_BYTES: Final = 512 * 1024
"""Of payloads in one reply, which a single larger one may exceed."""
_MAX_CACHED_OBJECTS: Final = 4


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a verified archive, with the location of that archive."""

    id: int
    run: str
    location: str
    name: str


async def list_objects(connection: asyncpg.Connection) -> list[StoredObject]:
    """Return the objects of all verified archives."""
    return [StoredObject(**dict(each)) for each in await connection.fetch(_OBJECTS)]


async def rows_in(connection: asyncpg.Connection, id_: int) -> dict[int, ArchiveRow]:
    """Return the rows whose records an object has, by leaf."""
    return {each["leaf"]: row_of_record(each) for each in await connection.fetch(_IN_OBJECT, id_)}


async def lost_leaves(connection: asyncpg.Connection) -> list[int]:
    """Return some of the records without bytes that no verified archive has."""
    return [each["leaf"] for each in await connection.fetch(_LOST)]


class ArchivedConversations:
    """Reads archived conversations back, for the operators."""

    def __init__(self, dsn: str, open_objects: Callable[[str], ArchiveObjects]) -> None:
        """`open_objects` opens the object store of a location."""
        self._dsn = dsn
        self._open_objects = open_objects
        self._cached: OrderedDict[str, dict[int, dict[str, Any]]] = OrderedDict()
        self._mutex = asyncio.Lock()

    async def read(self, request: ReadArchived) -> ArchivedRecords:
        """Return records of a conversation; of one that is not archived none, unless the request is for the whole.

        Raises `ArchiveUnavailableError`, the errors of object stores, and `ArchiveDamagedError`.
        """
        async with connected(self._dsn) as connection:
            with map_errors():
                found = await connection.fetch(
                    _OF_CONVERSATION, request.conversation, request.after, _PAGE, request.whole
                )
        records: list[ArchivedRecord] = []
        octets = 0
        for each in found:
            payload = each["raw"] if each["raw"] is not None else await self._payload(each)
            octets += len(payload)
            if records and octets > _MAX_REPLY_BYTES:
                break
            fields = {name: each[name] for name in ("leaf", "stream", "sequence", "subject")}
            records.append(ArchivedRecord(**fields, at=each["at"].timestamp(), payload=payload))
        return ArchivedRecords(
            conversation=request.conversation,
            records=records,
            archives=sorted({each["run"] for each in found[: len(records)] if each["run"] is not None}),
            has_more=len(records) < len(found) or len(found) == _PAGE,
        )

    async def _payload(self, record: asyncpg.Record) -> bytes:
        async with self._mutex:
            entry = (await self._entries(record["location"], record["name"])).get(record["leaf"])
        payload = base64.b64decode(entry["raw"]) if entry is not None else b""
        if sha256(payload) != record["sha256"]:
            raise ArchiveDamagedError(f"object {record['name']} does not have record {record['leaf']}")
        return payload

    async def _entries(self, location: str, name: str) -> dict[int, dict[str, Any]]:
        """Return the records of an object by leaf; those of a few objects stay in memory."""
        if name not in self._cached:
            packed = await self._open_objects(location).get(name)
            try:
                entries = await asyncio.to_thread(unpack, packed)
            except ValueError as error:
                raise ArchiveDamagedError(f"object {name} cannot be read") from error
            self._cached[name] = {each["leaf"]: each for each in entries if each["kind"] == "record"}
            while len(self._cached) > _MAX_CACHED_OBJECTS:
                self._cached.popitem(last=False)
        self._cached.move_to_end(name)
        return self._cached[name]

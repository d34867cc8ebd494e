"""The archive as an auditor reads it: entries of an export, and proofs of single records.

Everything is read in one transaction, so that records that arrive in the meantime change nothing.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg

from trunkline_audit.adapters.record_tree import LEAF_FIELDS, leaf_row
from trunkline_audit.core.leaves import hash_of_row, microseconds
from trunkline_audit.core.merkle import (
    TILE_HEIGHT,
    TILE_WIDTH,
    LeafRange,
    Subtree,
    consistency_ranges,
    fold,
    inclusion_ranges,
    perfect_nodes,
    perfect_root,
)
from trunkline_audit.core.records import ArchiveRow
from trunkline_audit.core.verifier import FORMAT

TilePlace: TypeAlias = tuple[int, int]
"""Level and number of a tile."""

_CONNECT_TIMEOUT_S: Final = 5.0
_COMMAND_TIMEOUT_S: Final = 60.0
_PREFETCH: Final = 500
RECORD_FIELDS: Final = ", ".join(f"{name}::text" if name == "payload" else name for name in ArchiveRow._fields)
_RECORDS: Final = f"SELECT leaf, {RECORD_FIELDS} FROM messages WHERE leaf IS NOT NULL ORDER BY leaf"  # noqa: S608 - constants
_OF_CONVERSATION: Final = (
    f"SELECT leaf, {RECORD_FIELDS} FROM messages WHERE conversation = $1 AND leaf < $2 ORDER BY leaf"  # noqa: S608 - constants
)
_OF_CONVERSATION_AFTER: Final = (
    f"SELECT leaf, {RECORD_FIELDS} FROM messages "  # noqa: S608 - constants
    "WHERE conversation = $1 AND leaf < $2 AND leaf > $3 ORDER BY leaf LIMIT $4"
)
_HEADS: Final = "SELECT size, log, root, at, key, signature FROM tree_heads WHERE size > $1 ORDER BY size"
_HEAD: Final = """
SELECT size, log, root, at, key, signature FROM tree_heads WHERE size = $1 OR $1 = 0 ORDER BY size DESC LIMIT 1
"""
_LEAVES: Final = f"SELECT leaf, {LEAF_FIELDS} FROM messages WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf"  # noqa: S608 - constants
_TILES: Final = """
SELECT level, number, hashes FROM tree_tiles
WHERE (level, number) IN (SELECT * FROM unnest($1::smallint[], $2::bigint[]))
"""
_ROOTS: Final = "SELECT root FROM tree_tiles WHERE level = $1 AND number >= $2 AND number < $3 ORDER BY number"
_HASH_BYTES: Final = 32


class IncompleteTreeError(Exception):
    """Rows that a proof needs are missing."""


class TreeReader:
    """One view of the archive. Use `open_tree` to create one."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        """`connection` is in the transaction of the view."""
        self.connection = connection

    async def log(self, *, whole: bool) -> dict[str, Any]:
        """Return the first entry of an export of all records, or of some."""
        keys = {each["name"]: each["public"].hex() for each in await self.connection.fetch("SELECT * FROM tree_keys")}
        return {"kind": "log", "format": FORMAT, "whole": whole, "keys": keys}

    async def heads(self, *, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield the heads of more than `after` records, in order: one is signed a second, so there are many."""
        async for each in self.connection.cursor(_HEADS, after, prefetch=_PREFETCH):
            yield _head_entry(each)

    async def timestamps(self) -> list[dict[str, Any]]:
        """Return the timestamps of heads, in the order of their sizes."""
        return [
            {
                "kind": "timestamp",
                "size": each["size"],
                "root": each["root"].hex(),
                "at": microseconds(each["at"]),
                "token": base64.b64encode(each["token"]).decode(),
            }
            for each in await self.connection.fetch("SELECT * FROM tree_timestamps ORDER BY size")
        ]

    async def head(self, size: int = 0) -> dict[str, Any] | None:
        """Return the head of `size` records, by default the latest; None if it does not exist."""
        found = await self.connection.fetchrow(_HEAD, size)
        return _head_entry(found) if found is not None else None

    async def rows(self) -> AsyncIterator[tuple[int, ArchiveRow]]:
        """Yield all rows with their leaves, in order."""
        async for each in self.connection.cursor(_RECORDS, prefetch=_PREFETCH):
            yield each["leaf"], row_of_record(each)

    async def unnumbered(self) -> int:
        """Return the number of rows without a leaf."""
        count: int = await self.connection.fetchval("SELECT count(*) FROM messages WHERE leaf IS NULL")
        return count

    async def proven(self, conversation: str, size: int) -> list[tuple[ArchiveRow, dict[str, Any]]]:
        """Return the records of a conversation in a tree of `size` leaves: each row, and its entry with the proof."""
        found = await self.connection.fetch(_OF_CONVERSATION, conversation, size)
        proofs = await self.proofs([each["leaf"] for each in found], size)
        proven = []
        for each, proof in zip(found, proofs, strict=True):
            row = row_of_record(each)
            entry = record_entry(each["leaf"], row) | {"size": size, "proof": [node.hex() for node in proof]}
            proven.append((row, entry))
        return proven

    async def rows_of(self, conversation: str, *, after: int, before: int, limit: int) -> list[tuple[int, ArchiveRow]]:
        """Return some rows of a conversation between two leaves, in order."""
        found = await self.connection.fetch(_OF_CONVERSATION_AFTER, conversation, before, after, limit)
        return [(each["leaf"], row_of_record(each)) for each in found]

    async def proof(self, leaf: int, size: int) -> list[bytes]:
        """Return the proof that a tree of `size` leaves has a leaf; raise `IncompleteTreeError` without its rows."""
        return await self._hashes_of(inclusion_ranges(leaf, size))

    async def proofs(self, leaves: Sequence[int], size: int) -> list[list[bytes]]:
        """Return the proofs of many leaves, which share most of their hashes."""
        paths = [inclusion_ranges(leaf, size) for leaf in leaves]
        ranges = list({each: None for path in paths for each in path})
        hashes = dict(zip(ranges, await self._hashes_of(ranges), strict=True))
        return [[hashes[each] for each in path] for path in paths]

    async def consistency(self, old: int, new: int) -> dict[str, Any]:
        """Return the entry that proves that the tree of `new` leaves begins with that of `old` ones."""
        proof = [found.hex() for found in await self._hashes_of(consistency_ranges(old, new))]
        return {"kind": "consistency", "old": old, "new": new, "proof": proof}

    async def _hashes_of(self, ranges: Sequence[LeafRange]) -> list[bytes]:
        """Return the hash above each range, from the tiles and rows that all of them need."""
        nodes = [list(perfect_nodes(leaves)) for leaves in ranges]
        tiles = await self._tiles({_tile_of(node) for each in nodes for node in each})
        return [fold([_hash_of(node, tiles[_tile_of(node)]) for node in each]) for each in nodes]

    async def _tiles(self, places: set[TilePlace]) -> dict[TilePlace, Sequence[bytes]]:
        """Return the hashes of tiles, which may not be full yet."""
        levels, numbers = [level for level, _ in places], [number for _, number in places]
        full = await self.connection.fetch(_TILES, levels, numbers)
        found: dict[TilePlace, Sequence[bytes]] = {
            (each["level"], each["number"]): [
                each["hashes"][at : at + _HASH_BYTES] for at in range(0, len(each["hashes"]), _HASH_BYTES)
            ]
            for each in full
        }
        for level, number in places - found.keys():
            found[level, number] = await self._pending(level, number * TILE_WIDTH, (number + 1) * TILE_WIDTH)
        return found

    async def _pending(self, level: int, start: int, end: int) -> Sequence[bytes]:
        """Return hashes of a tile that is not full yet: of its leaves, or the roots of the tiles below."""
        if level == 0:
            return [hash_of_row(leaf_row(each)) for each in await self.connection.fetch(_LEAVES, start, end)]
        return [each["root"] for each in await self.connection.fetch(_ROOTS, level - 1, start, end)]


def _tile_of(node: Subtree) -> TilePlace:
    """Return the tile that has the hashes below a perfect subtree, or its own."""
    level, height = divmod(node.height, TILE_HEIGHT)
    return level, (node.number << height) // TILE_WIDTH


def _hash_of(node: Subtree, tile: Sequence[bytes]) -> bytes:
    height = node.height % TILE_HEIGHT
    start = (node.number << height) % TILE_WIDTH
    hashes = tile[start : start + (1 << height)]
    if len(hashes) != 1 << height:
        raise IncompleteTreeError(f"rows of leaves {node.number << node.height} and after are missing")
    return perfect_root(hashes)


def _head_entry(head: asyncpg.Record) -> dict[str, Any]:
    return {
        "kind": "head",
        "log": head["log"],
        "size": head["size"],
        "root": head["root"].hex(),
        "at": microseconds(head["at"]),
        "key": head["key"],
        "signature": head["signature"].hex(),
    }


def record_entry(leaf: int, row: ArchiveRow) -> dict[str, Any]:
    """Return a record as an entry of an export; one that is archived has the hash of its bytes instead of them."""
    raw = {"sha256": row.sha256.hex()} if row.raw is None else {"raw": base64.b64encode(row.raw).decode()}
    return {
        "kind": "record",
        "leaf": leaf,
        "stream": row.stream,
        "sequence": row.sequence,
        "at": microseconds(row.at),
        "received_at": microseconds(row.received_at),
        "subject": row.subject,
        **raw,
    }


@asynccontextmanager
async def open_tree(dsn: str) -> AsyncIterator[TreeReader]:
    """Connect and open a view of the archive as it is now."""
    connection = await asyncpg.connect(
        dsn, timeout=_CONNECT_TIMEOUT_S, command_timeout=_COMMAND_TIMEOUT_S, statement_cache_size=0
    )
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield TreeReader(connection)
    finally:
        await connection.close()


def row_of_record(record: asyncpg.Record) -> ArchiveRow:
    """Return the row of a record with all `RECORD_FIELDS`."""
    return ArchiveRow(*(record[name] for name in ArchiveRow._fields))

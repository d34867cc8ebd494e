"""The tree of records in PostgreSQL, as its only writer sees it: leaves are numbered where their rows are stored.

Nothing here commits: the caller's transaction stores rows, tiles and heads together, and forgets the grown tree if it
is rolled back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg
import structlog

from trunkline_audit.core.heads import TreeHead
from trunkline_audit.core.leaves import hash_of_row
from trunkline_audit.core.merkle import TILE_HEIGHT, GrowingTree, Tile, pending_range
from trunkline_audit.core.records import ArchiveRow

_log: Final = structlog.get_logger(__name__)
_NAME: Final = "records"
_BATCH: Final = 2_000
_LOST: Final = hashlib.sha256(b"a record that was removed").digest()
"""Stands for a leaf or a tile that is missing in the last tiles: recording goes on, and verification names it."""

LEAF_FIELDS: Final = "stream, sequence, at, received_at, subject, sha256"
_SIZE: Final = "SELECT coalesce(max(leaf) + 1, 0) FROM messages"
_LEAVES: Final = f"SELECT leaf, {LEAF_FIELDS} FROM messages WHERE leaf >= $1 AND leaf < $2"  # noqa: S608 - constants
_ROOTS: Final = "SELECT number, root FROM tree_tiles WHERE level = $1 AND number >= $2 AND number < $3"
_ADD_TILES: Final = """
INSERT INTO tree_tiles (level, number, hashes, root)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[], $4::bytea[]) ON CONFLICT DO NOTHING
"""
_ADD_HEAD: Final = """
INSERT INTO tree_heads (size, log, root, at, key, signature) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_LAST_HEAD: Final = "SELECT log, size, root, at, key, signature FROM tree_heads ORDER BY size DESC LIMIT 1"
_OLDER: Final = f"""
SELECT {LEAF_FIELDS} FROM messages WHERE leaf IS NULL ORDER BY at, stream, sequence LIMIT {_BATCH}
"""  # noqa: S608 - constants
_NUMBER: Final = """
UPDATE messages SET leaf = given.leaf
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::bigint[]) AS given (stream, sequence, at, leaf)
WHERE (messages.stream, messages.sequence, messages.at) = (given.stream, given.sequence, given.at)
"""
_IS_NUMBERED: Final = "SELECT is_numbered FROM trees WHERE name = $1"
_SET_NUMBERED: Final = "INSERT INTO trees (name, is_numbered) VALUES ($1, true) ON CONFLICT DO NOTHING"


def leaf_row(record: asyncpg.Record) -> ArchiveRow:
    """Return a record with the fields of a leaf; the others are empty."""
    return ArchiveRow(
        stream=record["stream"],
        sequence=record["sequence"],
        at=record["at"],
        received_at=record["received_at"],
        subject=record["subject"],
        region=None,
        conversation=None,
        turn=None,
        type=None,
        payload=None,
        raw=b"",
        sha256=record["sha256"],
    )


async def load_tree(connection: asyncpg.Connection) -> GrowingTree:
    """Return the tree of the stored records."""
    size: int = await connection.fetchval(_SIZE)
    start, end = pending_range(0, size)
    leaves = {each["leaf"]: hash_of_row(leaf_row(each)) for each in await connection.fetch(_LEAVES, start, end)}
    pending = [_complete(leaves, start, end)]
    level = 1
    while size >> (TILE_HEIGHT * level):
        start, end = pending_range(level, size)
        found = await connection.fetch(_ROOTS, level - 1, start, end)
        pending.append(_complete({each["number"]: each["root"] for each in found}, start, end))
        level += 1
    return GrowingTree(size, pending)


def _complete(found: dict[int, bytes], start: int, end: int) -> list[bytes]:
    missing = end - start - len(found)
    if missing:
        _log.error("tree.damaged", missing=missing, first=start)
    return [found.get(number, _LOST) for number in range(start, end)]


async def number_older(connection: asyncpg.Connection, tree: GrowingTree) -> bool:
    """Number some of the rows that are older than the tree; return whether there may be more."""
    if await connection.fetchval(_IS_NUMBERED, _NAME):
        return False
    rows = [leaf_row(each) for each in await connection.fetch(_OLDER)]
    if not rows:
        await connection.execute(_SET_NUMBERED, _NAME)
        return False
    first = tree.size
    await add_tiles(connection, grow(tree, rows))
    keys = ([row.stream for row in rows], [row.sequence for row in rows], [row.at for row in rows])
    await connection.execute(_NUMBER, *keys, list(range(first, tree.size)))
    return True


def grow(tree: GrowingTree, rows: Iterable[ArchiveRow]) -> list[Tile]:
    """Append rows to the tree and return the tiles that they complete."""
    return [tile for row in rows for tile in tree.append(hash_of_row(row))]


async def add_tiles(connection: asyncpg.Connection, tiles: Sequence[Tile]) -> None:
    """Store full tiles."""
    if tiles:
        levels, numbers = [tile.level for tile in tiles], [tile.number for tile in tiles]
        hashes, roots = [b"".join(tile.hashes) for tile in tiles], [tile.root for tile in tiles]
        await connection.execute(_ADD_TILES, levels, numbers, hashes, roots)


async def add_head(connection: asyncpg.Connection, head: TreeHead) -> None:
    """Store a head."""
    await connection.execute(_ADD_HEAD, head.size, head.log, head.root, head.at, head.key, head.signature)


async def add_key(connection: asyncpg.Connection, name: str, public: bytes) -> None:
    """Store the public key that verifies heads."""
    await connection.execute(
        "INSERT INTO tree_keys (name, public) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, public
    )


async def last_head(connection: asyncpg.Connection) -> TreeHead | None:
    """Return the last head, None without one."""
    found = await connection.fetchrow(_LAST_HEAD)
    return TreeHead(**dict(found)) if found is not None else None

"""A Merkle tree as in RFC 6962, section 2.1: hashes, the root of a growing tree, and which subtrees make up a proof.

Leaves are numbered from 0. A *perfect* subtree has 2**height leaves and begins at a multiple of that; its hash never
changes. Every other hash is a fold of the perfect subtrees in its range, so that only those are stored: 256 sibling
hashes to a tile. A tile of level 0 has the hashes of leaves, one of level n the roots of 256 tiles of level n - 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT

LeafRange: TypeAlias = tuple[int, int]
"""First leaf, and the one after the last."""


class Subtree(NamedTuple):
    """A perfect subtree: the one with that number of those with 2**height leaves."""

    height: int
    number: int


class Tile(NamedTuple):
    """A full tile: the one with that number on its level."""

    level: int
    number: int
    hashes: tuple[bytes, ...]

    @property
    def root(self) -> bytes:
        """Hash of the perfect subtree above the tile."""
        return perfect_root(self.hashes)


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees side by side."""
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of a tree without leaves."""


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root above a number of sibling hashes that is a power of two."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the hash above perfect subtrees of descending size, from left to right."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def perfect_nodes(leaves: LeafRange) -> Iterator[Subtree]:
    """Yield the perfect subtrees that make up a range, from left to right.

    The range begins at a multiple of the largest power of two that fits into it, as every range of a proof does.
    """
    start, end = leaves
    while start < end:
        height = (end - start).bit_length() - 1
        yield Subtree(height, start >> height)
        start += 1 << height


def inclusion_ranges(leaf: int, size: int) -> list[LeafRange]:
    """Return the ranges whose hashes prove that a tree of `size` leaves has a leaf, from the bottom up."""
    start, end = 0, size
    found: list[LeafRange] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if leaf < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[LeafRange]:
    """Return the ranges whose hashes prove that a tree of `new` leaves begins with the one of `old` leaves."""
    if old in {0, new}:
        return []
    start, end, is_whole = 0, new, True
    found: list[LeafRange] = []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, is_whole = middle, False
    return ([] if is_whole else [(start, end)]) + found[::-1]


def _split(leaves: int) -> int:
    """Return the largest power of two below a number of leaves."""
    return 1 << ((leaves - 1).bit_length() - 1)


class GrowingTree:
    """The right edge of a tree: what is needed to append leaves and to compute the root."""

    def __init__(self, size: int = 0, pending: Iterable[Sequence[bytes]] = ()) -> None:
        """Continue a tree of `size` leaves; `pending` has the hashes of the incomplete tile of every level."""
        self.size = size
        self._pending = [list(level) for level in pending]

    def copy(self) -> GrowingTree:
        """Return a copy that grows independently."""
        return GrowingTree(self.size, self._pending)

    def append(self, leaf: bytes) -> list[Tile]:
        """Append the hash of a leaf and return the tiles that it completes."""
        self.size += 1
        completed: list[Tile] = []
        value = leaf
        for level in range(self.size.bit_length() // TILE_HEIGHT + 1):
            if level == len(self._pending):
                self._pending.append([])
            self._pending[level].append(value)
            if len(self._pending[level]) < TILE_WIDTH:
                break
            width = TILE_WIDTH ** (level + 1)
            tile = Tile(level, self.size // width - 1, tuple(self._pending[level]))
            completed.append(tile)
            self._pending[level] = []
            value = tile.root
        return completed

    @property
    def root(self) -> bytes:
        """Hash of the whole tree."""
        found: list[bytes] = []
        for hashes in reversed(self._pending):
            found += [
                perfect_root(hashes[node.number << node.height : (node.number + 1) << node.height])
                for node in perfect_nodes((0, len(hashes)))
            ]
        return fold(found)


def pending_range(level: int, size: int) -> LeafRange:
    """Return the range of a level's entries, leaves or tiles below, that its incomplete tile has."""
    entries = size // TILE_WIDTH**level
    return entries - entries % TILE_WIDTH, entries

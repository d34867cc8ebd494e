"""The tree of records agrees with RFC 6962: its published vectors, and its definition, computed naively."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st
from trunkline_audit.core.merkle import (
    EMPTY_ROOT,
    TILE_WIDTH,
    GrowingTree,
    LeafRange,
    consistency_ranges,
    fold,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    perfect_nodes,
    perfect_root,
)
from trunkline_audit.core.verifier import root_by_proof, roots_by_proof

VECTORS = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", bytes(range(0x50, 0x58))]
VECTORS.append(bytes(range(0x60, 0x70)))
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Roots of the first 0 to 8 vectors, as in the tests of google/certificate-transparency."""


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root by the definition of the RFC."""
    if len(leaves) <= 1:
        return leaf_hash(leaves[0]) if leaves else EMPTY_ROOT
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return node_hash(naive_root(leaves[:middle]), naive_root(leaves[middle:]))


def tree_of(leaves: Sequence[bytes]) -> GrowingTree:
    """Return a tree of leaves."""
    tree = GrowingTree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def numbered(count: int) -> list[bytes]:
    """Return different leaves."""
    return [str(number).encode() for number in range(count)]


def hash_of(leaves: Sequence[bytes], span: LeafRange) -> bytes:
    """Return the hash of a range, from its perfect subtrees."""
    return fold(
        [
            perfect_root(
                [leaf_hash(leaf) for leaf in leaves[node.number << node.height : (node.number + 1) << node.height]]
            )
            for node in perfect_nodes(span)
        ]
    )


@pytest.mark.parametrize(("count", "root"), list(enumerate(ROOTS)))
def test_roots_are_those_of_the_published_vectors(count: int, root: str) -> None:
    """Computed while the tree grows, and by the definition."""
    assert tree_of(VECTORS[:count]).root.hex() == root
    assert naive_root(VECTORS[:count]).hex() == root


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 1_000])
def test_root_across_tiles_is_that_of_the_definition(size: int) -> None:
    """A tile is full with 256 leaves; its root stands for them from then on."""
    leaves = numbered(size)
    assert tree_of(leaves).root == naive_root(leaves)


def test_full_tiles_of_both_levels_are_returned_once() -> None:
    """Each with the number that it has on its level."""
    tree = GrowingTree()
    hashes = [leaf_hash(leaf) for leaf in numbered(TILE_WIDTH * TILE_WIDTH)]
    tiles = [tile for leaf in hashes for tile in tree.append(leaf)]
    assert [(tile.level, tile.number) for tile in tiles] == [*((0, number) for number in range(TILE_WIDTH)), (1, 0)]
    assert tiles[1].hashes == tuple(hashes[TILE_WIDTH : 2 * TILE_WIDTH])
    assert tiles[-1].root == tree.root == perfect_root(hashes)


@given(st.data())
def test_proof_of_every_leaf_leads_to_the_root(data: st.DataObject) -> None:
    """And that of another leaf, or of another size, does not."""
    size = data.draw(st.integers(1, 70))
    number = data.draw(st.integers(0, size - 1))
    leaves = numbered(size)
    proof = [hash_of(leaves, span) for span in inclusion_ranges(number, size)]
    root = naive_root(leaves)
    assert root_by_proof(leaf_hash(leaves[number]), number, size, proof) == root
    assert root_by_proof(leaf_hash(b"other"), number, size, proof) != root
    assert root_by_proof(leaf_hash(leaves[number]), number, size, [*proof, root]) is None
    if size > 1:
        assert root_by_proof(leaf_hash(leaves[number]), (number + 1) % size, size, proof) != root


@given(st.integers(1, 70), st.data())
def test_proof_of_consistency_has_the_hashes_of_the_definition(new: int, data: st.DataObject) -> None:
    """Those of RFC 6962, section 2.1.2."""
    old = data.draw(st.integers(1, new))
    leaves = numbered(new)

    def subproof(old: int, part: Sequence[bytes], *, is_whole: bool) -> list[bytes]:
        if old == len(part):
            return [] if is_whole else [naive_root(part)]
        middle = 1
        while middle * 2 < len(part):
            middle *= 2
        if old <= middle:
            return [*subproof(old, part[:middle], is_whole=is_whole), naive_root(part[middle:])]
        return [*subproof(old - middle, part[middle:], is_whole=False), naive_root(part[:middle])]

    proof = [hash_of(leaves, span) for span in consistency_ranges(old, new)]
    assert proof == subproof(old, leaves, is_whole=True)
    roots = (naive_root(leaves[:old]), naive_root(leaves))
    assert roots_by_proof(old, new, roots[0], proof) == roots
    if old < new:
        changed = [leaf_hash(b"other"), *proof[1:]]
        assert roots_by_proof(old, new, roots[0], changed) != roots

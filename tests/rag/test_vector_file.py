"""Vectors in a file beside the embedded store: read from there, and right whatever has become of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.adapters.milvus.vectors import VectorFile
from trunkline_rag.core.articles import Document
from trunkline_rag.core.passages import rows_of
from trunkline_rag.ports import Filed
from words import Letters

LETTERS = Letters()
TEXTS = ["abc", "xyz", "hello"]
VECTORS = LETTERS.embed(TEXTS)


@pytest.fixture
def file(tmp_path: Path) -> VectorFile:
    """Two blocks."""
    kept = VectorFile(tmp_path, "letters", 26)
    kept.append(TEXTS[:2], VECTORS[:2])
    kept.append(TEXTS[2:], VECTORS[2:])
    return kept


def test_rows_come_in_the_order_of_the_texts_and_one_that_is_missing_is_told(file: VectorFile, tmp_path: Path) -> None:
    """Also by another process, and never some of them."""
    again = VectorFile(tmp_path, "letters", 26)
    read = again.read(["hello", "abc", "hello"])
    assert read is not None
    assert (read == VECTORS[[2, 0, 2]]).all()
    assert again.read(["abc", "never seen"]) is None
    assert VectorFile(tmp_path, "other", 26).read(["abc"]) is None
    assert file.read([]) is not None


def test_latest_vector_of_a_text_counts(file: VectorFile) -> None:
    """As when a service has changed its model under the same name and the article came again."""
    file.append(["abc"], VECTORS[1:2])
    read = file.read(["abc"])
    assert read is not None
    assert (read == VECTORS[1:2]).all()


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeros"])
def test_block_that_is_not_whole_is_not_read(file: VectorFile, tmp_path: Path, damage: str) -> None:
    """Half written, changed, or never reached the disk: what stands before it is read."""
    path = tmp_path / "vectors-letters"
    content = bytearray(path.read_bytes())
    last = 8 + 16 + 4 * 26
    if damage == "cut":
        content = content[:-1]
    elif damage == "flipped":
        content[-1] ^= 1
    else:
        content[-last:] = bytes(last)
    path.write_bytes(content)
    assert file.read(TEXTS) is None
    assert file.read(TEXTS[:2]) is not None


def test_file_is_mostly_spare_when_its_texts_are_gone(tmp_path: Path) -> None:
    """Not before it is worth it."""
    file = VectorFile(tmp_path, "letters", 26)
    assert not file.is_mostly_spare(0)
    texts = [str(number) for number in range(30_000)]
    file.append(texts, np.zeros((30_000, 26), dtype=np.float32))
    assert not file.is_mostly_spare(30_000)
    assert file.is_mostly_spare(100)
    file.drop()
    assert not file.is_mostly_spare(100)
    assert file.read(texts[:1]) is None


def test_replaced_file_has_these_rows_only_and_no_other_embedder_has_one(file: VectorFile, tmp_path: Path) -> None:
    """What is left takes no room."""
    other = VectorFile(tmp_path, "other", 26)
    other.replace(["new"], VECTORS[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["vectors-other"]
    assert file.read(["abc"]) is None
    assert other.read(["new"]) is not None


def test_file_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """It only makes the start quicker."""
    file = VectorFile(tmp_path / "missing", "letters", 26)
    file.append(["abc"], VECTORS[:1])
    file.replace(["abc"], VECTORS[:1])
    assert file.read(["abc"]) is None


# -- under the store ---

DOCUMENT = Document("refunds", "Refunds", "First.\n\n" + "\n\n".join(f"{n} {'x' * 800}" for n in range(3)), rev=1)
CHANGED = Document("refunds", "Refunds", "Only this.", rev=2)


def put(store: MilvusStore, document: Document) -> None:
    rows = rows_of(document, "default")
    store.put("default", [Filed(document, rows, LETTERS.embed([row.embedded for row in rows]))])


@pytest.mark.processes
@pytest.mark.parametrize("state", ["kept", "gone", "damaged", "stale"])
def test_store_reads_the_same_vectors_whatever_has_become_of_the_file(tmp_path: Path, state: str) -> None:
    """And the file is whole afterwards."""
    folder = tmp_path / "milvus"
    path = folder / "vectors-letters"

    def opened() -> MilvusStore:
        return MilvusStore(str(folder), embedder=LETTERS.name, dimensions=LETTERS.dimensions)

    store = opened()
    put(store, DOCUMENT)
    if state == "stale":
        before = path.read_bytes()
        put(store, CHANGED)
        path.write_bytes(before)
    store.close()
    if state == "gone":
        path.unlink()
    elif state == "damaged":
        path.write_bytes(path.read_bytes()[:-3])
    for _ in range(2):
        store = opened()
        holdings = store.holdings()
        assert holdings.vectors is not None
        assert np.allclose(holdings.vectors, LETTERS.embed([row.embedded for row in holdings.rows]))
        texts = [row.embedded for row in holdings.rows]
        assert VectorFile(folder, "letters", 26).read(texts) is not None
        store.close()

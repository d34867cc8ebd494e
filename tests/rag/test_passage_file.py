"""Passages in a file beside the embedded store: read from there, and right whatever has become of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.adapters.milvus.passage_file import PassageFile
from trunkline_rag.core.articles import Document
from trunkline_rag.core.passages import rows_of
from trunkline_rag.core.scope import Scope
from trunkline_rag.ports import LatestVersion, PassageSet, StagedArticle

from tests.support.embedders import LetterEmbedder

LETTERS = LetterEmbedder()
LONG = Document("refunds", "Refunds", "First.\n\n" + "\n\n".join(f"{n} {'x' * 800}" for n in range(3)), ["a"], rev=1)
CHANGED = Document("refunds", "Refunds", "Only this.", rev=2)
WIFI = Document("wifi", "Wi-Fi", "Restart it.", scope=Scope(region="eu", specialties=("network",)), rev=1)
EMPTY = Document("empty", "Empty", "", rev=1)


def filed(document: Document) -> StagedArticle:
    rows = rows_of(document, "default")
    return StagedArticle(
        document, rows, LETTERS.embed([row.embedded for row in rows]) if rows else np.empty((0, 26), "f4")
    )


def latest_versions(*documents: Document) -> dict[tuple[str, str], LatestVersion]:
    return {("default", one.id): LatestVersion(one.rev, one.digest, "") for one in documents}


def same(one: PassageSet | None, other: PassageSet) -> bool:
    assert one is not None
    assert one.vectors is not None
    assert other.vectors is not None
    return one.rows == other.rows and bool((one.vectors == other.vectors).all())


def holdings(*documents: Document) -> PassageSet:
    parts = [filed(document) for document in documents]
    return PassageSet([row for part in parts for row in part.rows], np.concatenate([part.vectors for part in parts]))


@pytest.fixture
def file(tmp_path: Path) -> PassageFile:
    """Two blocks."""
    kept = PassageFile(tmp_path, "passages_1")
    kept.append("default", [filed(WIFI), filed(LONG)])
    kept.append("default", [filed(CHANGED), filed(EMPTY)])
    return kept


def test_passages_of_the_versions_in_force_come_in_the_order_of_the_store(file: PassageFile, tmp_path: Path) -> None:
    """Also in another process."""
    again = PassageFile(tmp_path, "passages_1")
    assert same(again.read(latest_versions(WIFI, LONG, EMPTY)), holdings(LONG, WIFI))
    assert same(file.read(latest_versions(EMPTY, CHANGED, WIFI)), holdings(CHANGED, WIFI))
    assert same(file.read(latest_versions(WIFI)), holdings(WIFI))


def test_file_that_lacks_a_version_is_not_read_in_part(file: PassageFile, tmp_path: Path) -> None:
    """A newer one, one of the same number with another text, another article, another collection."""
    newer = Document("wifi", "Wi-Fi", WIFI.text, scope=WIFI.scope, rev=2)
    other = Document("wifi", "Wi-Fi", "Throw it away.", rev=1)
    for unknown in (newer, other, Document("else", "Else", "Else.", rev=1)):
        assert file.read(latest_versions(LONG, unknown)) is None
    assert PassageFile(tmp_path, "passages_2").read(latest_versions(WIFI)) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeros", "stub"])
def test_block_that_is_not_whole_is_not_read(file: PassageFile, tmp_path: Path, damage: str) -> None:
    """Half written, changed, or never reached the disk: what stands before it is read."""
    path = tmp_path / "passages_1.kept"
    content = path.read_bytes()
    first = 8 + int.from_bytes(content[:4], "little")
    path.write_bytes(
        {
            "cut": content[:-1],
            "flipped": content[:-1] + bytes([content[-1] ^ 1]),
            "zeros": content[:first] + bytes(len(content) - first),
            "stub": content[: first + 3],
        }[damage]
    )
    assert file.read(latest_versions(CHANGED)) is None
    assert same(file.read(latest_versions(LONG, WIFI)), holdings(LONG, WIFI))


def test_replaced_file_has_what_is_in_force_only_and_no_other_collection_has_one(
    file: PassageFile, tmp_path: Path
) -> None:
    """An article without passages is there, with none."""
    other = PassageFile(tmp_path, "passages_2")
    other.replace(latest_versions(WIFI, CHANGED, EMPTY), holdings(CHANGED, WIFI))
    assert [path.name for path in tmp_path.iterdir()] == ["passages_2.kept"]
    assert same(other.read(latest_versions(WIFI, CHANGED, EMPTY)), holdings(CHANGED, WIFI))
    assert other.read(latest_versions(LONG)) is None
    assert file.read(latest_versions(WIFI)) is None


def test_file_is_begun_anew_when_most_of_it_is_out_of_force(tmp_path: Path) -> None:
    """Not before it is worth it."""
    file = PassageFile(tmp_path, "passages_1")
    for _ in range(6):
        file.append("default", [filed(WIFI)] * 2_000)
    file.trim(2_000)
    assert file.read(latest_versions(WIFI)) is not None
    file.trim(500)
    assert list(tmp_path.iterdir()) == []


def test_file_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """It only makes the start quicker."""
    file = PassageFile(tmp_path / "missing", "passages_1")
    file.append("default", [filed(WIFI)])
    file.replace(latest_versions(WIFI), holdings(WIFI))
    assert file.read(latest_versions(WIFI)) is None


# -- under the store ---


@pytest.mark.processes
@pytest.mark.parametrize("state", ["kept", "gone", "damaged", "stale"])
@pytest.mark.parametrize("embedder", [None, LETTERS], ids=["words", "vectors"])
def test_store_reads_the_same_whatever_has_become_of_the_file(
    tmp_path: Path, state: str, embedder: LetterEmbedder | None
) -> None:
    """And the file is whole afterwards."""
    folder = tmp_path / "milvus"

    def opened() -> MilvusStore:
        return (
            MilvusStore(str(folder), embedder=embedder.name, dimensions=embedder.dimensions)
            if embedder is not None
            else MilvusStore(str(folder))
        )

    def put(store: MilvusStore, document: Document) -> None:
        one = filed(document)
        store.put("default", [one if embedder is not None else StagedArticle(document, one.rows, None)])

    store = opened()
    put(store, LONG)
    put(store, WIFI)
    (path,) = folder.glob("*.kept")
    before = path.read_bytes()
    put(store, CHANGED)
    store.close()
    if state == "gone":
        path.unlink()
    elif state == "damaged":
        path.write_bytes(path.read_bytes()[:-3])
    elif state == "stale":
        path.write_bytes(before)
    for _ in range(2):
        store = opened()
        read = store.holdings()
        assert read.rows == holdings(CHANGED, WIFI).rows
        assert (read.vectors is None) == (embedder is None)
        if embedder is not None:
            assert same(read, holdings(CHANGED, WIFI))
        assert PassageFile(folder, path.stem).read(latest_versions(CHANGED, WIFI)) is not None
        store.close()


@pytest.mark.processes
def test_vectors_of_another_embedder_get_into_no_file_of_a_collection_without_them(tmp_path: Path) -> None:
    """An import between the change of the embedder and the new collection: by words until that is there."""
    folder = str(tmp_path / "milvus")
    store = MilvusStore(folder)
    store.put("default", [StagedArticle(LONG, filed(LONG).rows, None)])
    store.close()
    store = MilvusStore(folder, embedder=LETTERS.name, dimensions=LETTERS.dimensions)
    store.put("default", [filed(WIFI)])
    expected = PassageSet(holdings(LONG, WIFI).rows, None)
    assert store.holdings() == expected
    store.close()
    store = MilvusStore(folder)
    assert store.holdings() == expected
    store.close()

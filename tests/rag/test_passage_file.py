"""The cache file of passages beside the embedded store: reads are correct in every state of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.adapters.milvus.passage_file import PassageFile
from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_set import PassageSet, StagedArticle
from trunkline_rag.core.passages import split_document
from trunkline_rag.core.scope import Scope
from trunkline_rag.core.versions import LatestVersion

from tests.support.embedders import LetterEmbedder

LETTERS = LetterEmbedder()
LONG = Document("refunds", "Refunds", "First.\n\n" + "\n\n".join(f"{n} {'x' * 800}" for n in range(3)), ["a"], rev=1)
CHANGED = Document("refunds", "Refunds", "Only this.", rev=2)
WIFI = Document("wifi", "Wi-Fi", "Restart it.", scope=Scope(region="eu", specialties=("network",)), rev=1)
EMPTY = Document("empty", "Empty", "", rev=1)


def staged(document: Document) -> StagedArticle:
    rows = split_document(document, "default")
    return StagedArticle(
        document, rows, LETTERS.embed([row.embedding_text for row in rows]) if rows else np.empty((0, 26), "f4")
    )


def latest_versions(*documents: Document) -> dict[tuple[str, str], LatestVersion]:
    return {("default", one.id): LatestVersion(one.rev, one.digest, "") for one in documents}


def same(one: PassageSet | None, other: PassageSet) -> bool:
    assert one is not None
    assert one.vectors is not None
    assert other.vectors is not None
    return one.rows == other.rows and bool((one.vectors == other.vectors).all())


def passage_set(*documents: Document) -> PassageSet:
    parts = [staged(document) for document in documents]
    return PassageSet([row for part in parts for row in part.rows], np.concatenate([part.vectors for part in parts]))


@pytest.fixture
def file(tmp_path: Path) -> PassageFile:
    """A file of two blocks."""
    kept = PassageFile(tmp_path, "passages_1")
    kept.append("default", [staged(WIFI), staged(LONG)])
    kept.append("default", [staged(CHANGED), staged(EMPTY)])
    return kept


def test_passages_of_latest_versions_are_in_the_order_of_the_store(file: PassageFile, tmp_path: Path) -> None:
    """Also after reopening the file."""
    again = PassageFile(tmp_path, "passages_1")
    assert same(again.read(latest_versions(WIFI, LONG, EMPTY)), passage_set(LONG, WIFI))
    assert same(file.read(latest_versions(EMPTY, CHANGED, WIFI)), passage_set(CHANGED, WIFI))
    assert same(file.read(latest_versions(WIFI)), passage_set(WIFI))


def test_file_without_one_of_the_versions_is_not_read(file: PassageFile, tmp_path: Path) -> None:
    """A newer version, another text of the same version, another article, another collection."""
    newer = Document("wifi", "Wi-Fi", WIFI.text, scope=WIFI.scope, rev=2)
    other = Document("wifi", "Wi-Fi", "Throw it away.", rev=1)
    for unknown in (newer, other, Document("else", "Else", "Else.", rev=1)):
        assert file.read(latest_versions(LONG, unknown)) is None
    assert PassageFile(tmp_path, "passages_2").read(latest_versions(WIFI)) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeros", "stub"])
def test_damaged_block_is_not_read(file: PassageFile, tmp_path: Path, damage: str) -> None:
    """Truncated, changed or never written to disk; the blocks before it are read."""
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
    assert same(file.read(latest_versions(LONG, WIFI)), passage_set(LONG, WIFI))


def test_rewritten_file_has_only_latest_versions_and_other_collections_lose_theirs(
    file: PassageFile, tmp_path: Path
) -> None:
    """An article without passages is in the file too."""
    other = PassageFile(tmp_path, "passages_2")
    other.replace(latest_versions(WIFI, CHANGED, EMPTY), passage_set(CHANGED, WIFI))
    assert [path.name for path in tmp_path.iterdir()] == ["passages_2.kept"]
    assert same(other.read(latest_versions(WIFI, CHANGED, EMPTY)), passage_set(CHANGED, WIFI))
    assert other.read(latest_versions(LONG)) is None
    assert file.read(latest_versions(WIFI)) is None


def test_file_is_deleted_when_most_of_it_is_superseded(tmp_path: Path) -> None:
    """Not while the superseded part is small."""
    file = PassageFile(tmp_path, "passages_1")
    for _ in range(6):
        file.append("default", [staged(WIFI)] * 2_000)
    file.trim(2_000)
    assert file.read(latest_versions(WIFI)) is not None
    file.trim(500)
    assert list(tmp_path.iterdir()) == []


def test_write_errors_are_ignored(tmp_path: Path) -> None:
    """The file only speeds up the start."""
    file = PassageFile(tmp_path / "missing", "passages_1")
    file.append("default", [staged(WIFI)])
    file.replace(latest_versions(WIFI), passage_set(WIFI))
    assert file.read(latest_versions(WIFI)) is None


# -- in the store ---


@pytest.mark.processes
@pytest.mark.parametrize("state", ["kept", "missing", "damaged", "stale"])
@pytest.mark.parametrize("embedder", [None, LETTERS], ids=["words", "vectors"])
def test_store_reads_the_same_in_every_state_of_the_file(
    tmp_path: Path, state: str, embedder: LetterEmbedder | None
) -> None:
    """The file is complete afterwards."""
    folder = tmp_path / "milvus"

    def open_store() -> MilvusStore:
        return (
            MilvusStore(str(folder), embedder=embedder.name, dimensions=embedder.dimensions)
            if embedder is not None
            else MilvusStore(str(folder))
        )

    def put(store: MilvusStore, document: Document) -> None:
        article = staged(document)
        store.put("default", [article if embedder is not None else StagedArticle(document, article.rows, None)])

    store = open_store()
    put(store, LONG)
    put(store, WIFI)
    (path,) = folder.glob("*.kept")
    before = path.read_bytes()
    put(store, CHANGED)
    store.close()
    if state == "missing":
        path.unlink()
    elif state == "damaged":
        path.write_bytes(path.read_bytes()[:-3])
    elif state == "stale":
        path.write_bytes(before)
    for _ in range(2):
        store = open_store()
        read = store.read_passages()
        assert read.rows == passage_set(CHANGED, WIFI).rows
        assert (read.vectors is None) == (embedder is None)
        if embedder is not None:
            assert same(read, passage_set(CHANGED, WIFI))
        assert PassageFile(folder, path.stem).read(latest_versions(CHANGED, WIFI)) is not None
        store.close()


@pytest.mark.processes
def test_vectors_of_another_embedder_are_not_cached_for_a_collection_without_vectors(tmp_path: Path) -> None:
    """An import between the change of the embedder and the activation of the new collection."""
    folder = str(tmp_path / "milvus")
    store = MilvusStore(folder)
    store.put("default", [StagedArticle(LONG, staged(LONG).rows, None)])
    store.close()
    store = MilvusStore(folder, embedder=LETTERS.name, dimensions=LETTERS.dimensions)
    store.put("default", [staged(WIFI)])
    expected = PassageSet(passage_set(LONG, WIFI).rows, None)
    assert store.read_passages() == expected
    store.close()
    store = MilvusStore(folder)
    assert store.read_passages() == expected
    store.close()

"""Snapshots: what comes back is what was there, little is written twice, and nothing half is ever taken for whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from trunkline_protocols.knowledge import (
    Article,
    ArticleFile,
    ArticlesImported,
    GetArticle,
    ImportArticles,
    PassagesFound,
    SearchKnowledge,
)
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.adapters.objects import ObstoreObjects
from trunkline_rag.core.articles import Document
from trunkline_rag.core.snapshots import DamagedError, Stock, Version, latest, outdated, restored
from trunkline_rag.library import Library, NotEmptyError
from trunkline_rag.ports import ObjectsUnavailableError
from trunkline_rag.snapshots import NoSnapshotError, Snapshots
from words import Letters

pytestmark = pytest.mark.processes

TOPICS = ("refund", "router", "invoice", "parcel", "password", "battery", "contract", "speaker")
FILES = [
    ArticleFile(
        name=f"{topic}-{number}.md",
        content=f"---\nid: {topic}-{number}\ntopics: [{topic}]\n---\n# About a {topic}\n\n"
        f"A {topic} of kind {number} takes {number + 2} days.\n\n## When it fails\n\n"
        f"Ask for the {TOPICS[number]} desk, which knows every {topic}.",
    )
    for topic in TOPICS
    for number in range(len(TOPICS))
]
QUESTIONS = [f"how long does a {topic} of kind {number} take" for topic in TOPICS for number in (1, 5)]


class Desk:
    """A library on a folder of its own."""

    def __init__(self, folder: Path, embedder: Letters | None = None) -> None:
        self.store = (
            MilvusStore(str(folder), embedder=embedder.name, dimensions=embedder.dimensions)
            if embedder
            else MilvusStore(str(folder))
        )
        self.library = Library(self.store, embedder, own_source="fleet")

    async def take_in(self, files: Sequence[ArticleFile], source: str = "", *, prune: bool = False) -> None:
        order = ImportArticles(tenant="default", files=list(files), source=source, prune=prune)
        assert isinstance(await self.library.take_in(order), ArticlesImported)

    async def answers(self) -> list[PassagesFound]:
        """What is found, without how long it took."""
        found = [
            await self.library.search(SearchKnowledge(query=question, tenant="default", limit=10))
            for question in QUESTIONS
        ]
        return [PassagesFound(passages=answer.passages, took_ms=0.0, stale=answer.stale) for answer in found]

    async def article(self, document: str, rev: int = 0) -> str | None:
        read = await self.library.article(GetArticle(document=document, tenant="default", rev=rev))
        return read.text if isinstance(read, Article) else None


@pytest.fixture
def desks() -> Iterator[list[Desk]]:
    """Desks to close at the end."""
    opened: list[Desk] = []
    yield opened
    for desk in opened:
        desk.store.close()


@pytest.fixture
def objects(tmp_path: Path) -> ObstoreObjects:
    """A folder for snapshots."""
    return ObstoreObjects(str(tmp_path / "snapshots"))


def opened(desks: list[Desk], folder: Path, embedder: Letters | None = None) -> Desk:
    desks.append(Desk(folder, embedder))
    return desks[-1]


@pytest.mark.parametrize("embedder", [None, Letters()], ids=["words", "vectors"])
async def test_searches_before_and_after_a_restore_are_identical(
    tmp_path: Path, desks: list[Desk], objects: ObstoreObjects, embedder: Letters | None
) -> None:
    """The drill: into an empty folder, read by a process that starts there; old versions can be read as well."""
    first = opened(desks, tmp_path / "first", embedder)
    await first.take_in(FILES)
    await first.take_in([ArticleFile(name="refund-1.md", content="---\nid: refund-1\n---\nA refund takes a day.")])
    before = await first.answers()
    assert all(answer.passages for answer in before)
    taken = await Snapshots(first.library, objects, keep=3).take()
    assert (taken.manifest.articles, taken.manifest.kind) == (64, "full")

    second = opened(desks, tmp_path / "second", embedder)
    await Snapshots(second.library, objects, keep=3).restore()
    assert await second.answers() == before
    desks.remove(second)
    second.store.close()
    third = opened(desks, tmp_path / "second", embedder)
    await third.library.open()
    assert await third.answers() == before
    assert await third.article("refund-1") == "A refund takes a day."
    assert "kind 1 takes 3 days" in (await third.article("refund-1", rev=1) or "")


async def test_snapshot_of_another_embedder_is_embedded_anew(
    tmp_path: Path, desks: list[Desk], objects: ObstoreObjects
) -> None:
    """Vectors of two models never meet, on this way either."""
    first = opened(desks, tmp_path / "first", Letters())
    await first.take_in(FILES[:8])
    await Snapshots(first.library, objects, keep=3).take()
    other = Letters("upside-down", sign=-1)
    second = opened(desks, tmp_path / "second", other)
    await Snapshots(second.library, objects, keep=3).restore()
    assert not second.store.needs_vectors
    vectors = second.store.holdings().vectors
    assert vectors is not None
    assert (vectors == other.embed([row.embedded for row in second.store.holdings().rows])).all()


async def test_incremental_snapshot_writes_what_has_changed_and_a_full_one_everything(
    tmp_path: Path, desks: list[Desk], objects: ObstoreObjects
) -> None:
    """Each is whole by itself."""
    desk = opened(desks, tmp_path / "milvus")
    snapshots = Snapshots(desk.library, objects, keep=9)
    await desk.take_in(FILES)
    first = (await snapshots.take()).manifest
    assert first.written == len(first.blobs)
    assert (await snapshots.take()).manifest.written == 0
    assert await snapshots.take_if_changed() is None
    await desk.take_in([ArticleFile(name="router-3.md", content="---\nid: router-3\n---\nNew text.")])
    second = (await snapshots.take()).manifest
    assert (second.kind, second.written) == ("incremental", 1)
    assert len(second.blobs) == len(first.blobs)
    full = (await snapshots.take(full=True)).manifest
    assert (full.kind, full.written) == ("full", len(full.blobs))


async def test_interrupted_snapshot_leaves_the_earlier_ones_whole(
    tmp_path: Path, desks: list[Desk], objects: ObstoreObjects
) -> None:
    """It does not exist; the next one writes what it has left out."""
    desk = opened(desks, tmp_path / "milvus")
    await desk.take_in(FILES[:32])
    before = await desk.answers()
    good = (await Snapshots(desk.library, objects, keep=3).take()).manifest
    await desk.take_in(FILES[32:])
    for puts in range(0, 24, 5):
        with pytest.raises(ObjectsUnavailableError):
            await Snapshots(desk.library, Breaking(objects, puts), keep=3).take()
    assert [manifest.id for manifest in await Snapshots(desk.library, objects, keep=3).manifests()] == [good.id]
    other = opened(desks, tmp_path / "other")
    snapshots = Snapshots(other.library, objects, keep=3)
    await snapshots.restore()
    assert await other.answers() == before
    after = await desk.answers()
    await Snapshots(desk.library, objects, keep=3).take()
    await snapshots.restore(replace=True)
    assert await other.answers() == after


async def test_older_snapshots_and_what_only_they_need_are_removed(
    tmp_path: Path, desks: list[Desk], objects: ObstoreObjects
) -> None:
    """Not at once what nothing needs: a snapshot may be under way that is about to."""
    desk = opened(desks, tmp_path / "milvus")
    snapshots = Snapshots(desk.library, objects, keep=2)
    for number in range(4):
        await desk.take_in([ArticleFile(name="a.md", content=f"---\nid: a\n---\nText {number}.")])
        taken = await snapshots.take()
    assert len(taken.removed) == 1
    kept = await snapshots.manifests()
    assert kept[0].id == taken.manifest.id
    assert len(kept) == 2
    assert len(await objects.listed("blobs")) == 4
    await snapshots.prune(2, now=taken.manifest.made_at + 86_400)
    assert set(await objects.listed("blobs")) == {f"{blob}.gz" for manifest in kept for blob in manifest.blobs}
    await snapshots.restore(kept[1].id, replace=True)
    assert await desk.article("a") == "Text 2."


async def test_restore_over_articles_is_refused_unless_they_came_with_the_fleet_or_shall_be_replaced(
    tmp_path: Path, desks: list[Desk], objects: ObstoreObjects
) -> None:
    """And after it every citation still opens what it quoted."""
    desk = opened(desks, tmp_path / "milvus")
    snapshots = Snapshots(desk.library, objects, keep=3)
    with pytest.raises(NoSnapshotError):
        await snapshots.restore()
    await desk.take_in([ArticleFile(name="a.md", content="---\nid: a\n---\nFirst.")], "fleet")
    await snapshots.take()
    await snapshots.restore()
    await desk.take_in([ArticleFile(name="a.md", content="---\nid: a\n---\nSecond.")], "fleet")
    await desk.take_in([ArticleFile(name="b.md", content="---\nid: b\n---\nOther.")], "elsewhere")
    with pytest.raises(NotEmptyError, match="holds 1 articles"):
        await snapshots.restore()
    assert await desk.article("a") == "Second."
    await snapshots.restore(replace=True)
    assert await desk.article("a") == "First."
    assert [await desk.article("a", rev) for rev in (1, 2, 3)] == ["First.", "Second.", "First."]
    assert await desk.article("b") is None
    assert await desk.article("b", 1) == "Other."
    await desk.take_in([ArticleFile(name="b.md", content="---\nid: b\n---\nAgain.")], "elsewhere")
    assert await desk.article("b", 3) == "Again."


async def test_damaged_snapshot_is_told_and_nothing_is_restored(
    tmp_path: Path, desks: list[Desk], objects: ObstoreObjects
) -> None:
    """A blob that is not what its name says, one that is gone, a manifest that is none."""
    desk = opened(desks, tmp_path / "milvus")
    snapshots = Snapshots(desk.library, objects, keep=3)
    await desk.take_in(FILES[:4], "fleet")
    manifest = (await snapshots.take()).manifest
    blob = min(manifest.blobs)
    kept = await objects.get(f"blobs/{blob}.gz")
    await objects.put(f"blobs/{blob}.gz", kept[:-9])
    with pytest.raises(DamagedError, match=blob):
        await snapshots.restore()
    await objects.remove([f"blobs/{blob}.gz"])
    with pytest.raises(DamagedError, match=blob):
        await snapshots.restore()
    assert await desk.article("refund-1") is not None
    await objects.put("manifests/99991231T000000Z-00000000", b"{}")
    assert [found.id for found in await snapshots.manifests()] == [manifest.id]
    with pytest.raises(NoSnapshotError):
        await snapshots.restore("20200101T000000Z-00000000")
    # A full one mends what is broken.
    await snapshots.take(full=True)
    await snapshots.restore()


async def test_object_store_that_cannot_be_reached_is_told_with_its_place(tmp_path: Path, desks: list[Desk]) -> None:
    """A folder that cannot be made, a scheme that nobody knows."""
    (tmp_path / "file").write_text("no folder")
    desk = opened(desks, tmp_path / "milvus")
    for url in (str(tmp_path / "file" / "below"), "gopher://somewhere/x"):
        with pytest.raises(ObjectsUnavailableError, match=r"below|gopher"):
            await Snapshots(desk.library, ObstoreObjects(url), keep=3).take()


class Breaking:
    """An object store that goes away after some puts."""

    def __init__(self, objects: ObstoreObjects, puts: int) -> None:
        self._objects = objects
        self._left = puts
        self.place = objects.place

    async def put(self, name: str, payload: bytes) -> None:
        if self._left == 0:
            raise ObjectsUnavailableError(f"{self.place}: gone")
        self._left -= 1
        await self._objects.put(name, payload)

    def __getattr__(self, name: str) -> object:
        """Everything else works."""
        return getattr(self._objects, name)


# -- what is kept after a restore ---


def version(text: str, rev: int, *, is_removed: bool = False, tenant: str = "one") -> Version:
    return Version(tenant, Document("a", "A", text, rev=rev), is_removed)


def test_number_of_a_version_never_names_two_texts() -> None:
    """Whatever was there before and after the snapshot."""
    old, new = version("old", 1), version("new", 2)
    snapshot = Stock([old], [], None, "lexical")
    merged = restored(snapshot, [old, new]).versions
    assert merged == [old, new, version("old", 3)]
    assert restored(snapshot, []).versions == [old]
    assert restored(Stock([old, new], [], None, "lexical"), [old]).versions == [old, new]
    gone = restored(Stock([], [], None, "lexical"), [old]).versions
    assert latest(gone)["one", "a"].is_removed
    assert latest(gone)["one", "a"].document.rev == 2
    removed = version("", 2, is_removed=True)
    assert restored(Stock([old, removed], [], None, "lexical"), [old]).versions == [old, removed]


def test_newest_snapshot_is_never_too_many() -> None:
    """Whatever one asks to keep."""
    ids = ["20260101T000000Z-a", "20260103T000000Z-c", "20260102T000000Z-b"]
    assert outdated(ids, 0) == [ids[2], ids[0]]
    assert outdated(ids, 2) == [ids[0]]
    assert outdated(ids, 5) == []

"""Backups: what comes back is what was there, little is written twice, and nothing half is ever taken for whole."""

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
from trunkline_rag.application.backups import Backups, NoBackupError
from trunkline_rag.application.knowledge_base import KnowledgeBase, NotEmptyError
from trunkline_rag.core.articles import Document
from trunkline_rag.core.backups import DamagedError, StoreDump, Version, latest, outdated, restored
from trunkline_rag.ports import ObjectsUnavailableError

from tests.support.embedders import LetterEmbedder

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


class KnowledgeHandlers:
    """A library on a folder of its own."""

    def __init__(self, folder: Path, embedder: LetterEmbedder | None = None) -> None:
        self.store = (
            MilvusStore(str(folder), embedder=embedder.name, dimensions=embedder.dimensions)
            if embedder
            else MilvusStore(str(folder))
        )
        self.knowledge_base = KnowledgeBase(self.store, embedder, own_source="fleet")

    async def import_articles(self, files: Sequence[ArticleFile], source: str = "", *, prune: bool = False) -> None:
        order = ImportArticles(tenant="default", files=list(files), source=source, prune=prune)
        assert isinstance(await self.knowledge_base.import_articles(order), ArticlesImported)

    async def answers(self) -> list[PassagesFound]:
        """What is found, without how long it took."""
        found = [
            await self.knowledge_base.search(SearchKnowledge(query=question, tenant="default", limit=10))
            for question in QUESTIONS
        ]
        return [PassagesFound(passages=answer.passages, took_ms=0.0, stale=answer.stale) for answer in found]

    async def article(self, document: str, rev: int = 0) -> str | None:
        read = await self.knowledge_base.article(GetArticle(document=document, tenant="default", rev=rev))
        return read.text if isinstance(read, Article) else None


@pytest.fixture
def desks() -> Iterator[list[KnowledgeHandlers]]:
    """Desks to close at the end."""
    opened: list[KnowledgeHandlers] = []
    yield opened
    for desk in opened:
        desk.store.close()


@pytest.fixture
def objects(tmp_path: Path) -> ObstoreObjects:
    """A folder for backups."""
    return ObstoreObjects(str(tmp_path / "backups"))


def opened(desks: list[KnowledgeHandlers], folder: Path, embedder: LetterEmbedder | None = None) -> KnowledgeHandlers:
    desks.append(KnowledgeHandlers(folder, embedder))
    return desks[-1]


@pytest.mark.parametrize("embedder", [None, LetterEmbedder()], ids=["words", "vectors"])
async def test_searches_before_and_after_a_restore_are_identical(
    tmp_path: Path, desks: list[KnowledgeHandlers], objects: ObstoreObjects, embedder: LetterEmbedder | None
) -> None:
    """The drill: into an empty folder, read by a process that starts there; old versions can be read as well."""
    first = opened(desks, tmp_path / "first", embedder)
    await first.import_articles(FILES)
    await first.import_articles(
        [ArticleFile(name="refund-1.md", content="---\nid: refund-1\n---\nA refund takes a day.")]
    )
    before = await first.answers()
    assert all(answer.passages for answer in before)
    taken = await Backups(first.knowledge_base, objects, keep=3).take()
    assert (taken.manifest.articles, taken.manifest.kind) == (64, "full")

    second = opened(desks, tmp_path / "second", embedder)
    await Backups(second.knowledge_base, objects, keep=3).restore()
    assert await second.answers() == before
    desks.remove(second)
    second.store.close()
    third = opened(desks, tmp_path / "second", embedder)
    await third.knowledge_base.open()
    assert await third.answers() == before
    assert await third.article("refund-1") == "A refund takes a day."
    assert "kind 1 takes 3 days" in (await third.article("refund-1", rev=1) or "")


async def test_backup_of_another_embedder_is_embedded_anew(
    tmp_path: Path, desks: list[KnowledgeHandlers], objects: ObstoreObjects
) -> None:
    """Vectors of two models never meet, on this way either."""
    first = opened(desks, tmp_path / "first", LetterEmbedder())
    await first.import_articles(FILES[:8])
    await Backups(first.knowledge_base, objects, keep=3).take()
    other = LetterEmbedder("upside-down", sign=-1)
    second = opened(desks, tmp_path / "second", other)
    await Backups(second.knowledge_base, objects, keep=3).restore()
    assert not second.store.needs_vectors
    vectors = second.store.holdings().vectors
    assert vectors is not None
    assert (vectors == other.embed([row.embedded for row in second.store.holdings().rows])).all()


async def test_incremental_backup_writes_what_has_changed_and_a_full_one_everything(
    tmp_path: Path, desks: list[KnowledgeHandlers], objects: ObstoreObjects
) -> None:
    """Each is whole by itself."""
    desk = opened(desks, tmp_path / "milvus")
    backups = Backups(desk.knowledge_base, objects, keep=9)
    await desk.import_articles(FILES)
    first = (await backups.take()).manifest
    assert first.written == len(first.blobs)
    assert (await backups.take()).manifest.written == 0
    assert await backups.take_if_changed() is None
    await desk.import_articles([ArticleFile(name="router-3.md", content="---\nid: router-3\n---\nNew text.")])
    second = (await backups.take()).manifest
    assert (second.kind, second.written) == ("incremental", 1)
    assert len(second.blobs) == len(first.blobs)
    full = (await backups.take(full=True)).manifest
    assert (full.kind, full.written) == ("full", len(full.blobs))


async def test_interrupted_backup_leaves_the_earlier_ones_whole(
    tmp_path: Path, desks: list[KnowledgeHandlers], objects: ObstoreObjects
) -> None:
    """It does not exist; the next one writes what it has left out."""
    desk = opened(desks, tmp_path / "milvus")
    await desk.import_articles(FILES[:32])
    before = await desk.answers()
    good = (await Backups(desk.knowledge_base, objects, keep=3).take()).manifest
    await desk.import_articles(FILES[32:])
    for puts in range(0, 24, 5):
        with pytest.raises(ObjectsUnavailableError):
            await Backups(desk.knowledge_base, Breaking(objects, puts), keep=3).take()
    assert [manifest.id for manifest in await Backups(desk.knowledge_base, objects, keep=3).manifests()] == [good.id]
    other = opened(desks, tmp_path / "other")
    backups = Backups(other.knowledge_base, objects, keep=3)
    await backups.restore()
    assert await other.answers() == before
    after = await desk.answers()
    await Backups(desk.knowledge_base, objects, keep=3).take()
    await backups.restore(replace=True)
    assert await other.answers() == after


async def test_older_backups_and_what_only_they_need_are_removed(
    tmp_path: Path, desks: list[KnowledgeHandlers], objects: ObstoreObjects
) -> None:
    """Not at once what nothing needs: a backup may be under way that is about to."""
    desk = opened(desks, tmp_path / "milvus")
    backups = Backups(desk.knowledge_base, objects, keep=2)
    for number in range(4):
        await desk.import_articles([ArticleFile(name="a.md", content=f"---\nid: a\n---\nText {number}.")])
        taken = await backups.take()
    assert len(taken.removed) == 1
    kept = await backups.manifests()
    assert kept[0].id == taken.manifest.id
    assert len(kept) == 2
    assert len(await objects.listed("blobs")) == 4
    await backups.prune(2, now=taken.manifest.made_at + 86_400)
    assert set(await objects.listed("blobs")) == {f"{blob}.gz" for manifest in kept for blob in manifest.blobs}
    await backups.restore(kept[1].id, replace=True)
    assert await desk.article("a") == "Text 2."


async def test_restore_over_articles_is_refused_unless_they_came_with_the_fleet_or_shall_be_replaced(
    tmp_path: Path, desks: list[KnowledgeHandlers], objects: ObstoreObjects
) -> None:
    """And after it every citation still opens what it quoted."""
    desk = opened(desks, tmp_path / "milvus")
    backups = Backups(desk.knowledge_base, objects, keep=3)
    with pytest.raises(NoBackupError):
        await backups.restore()
    await desk.import_articles([ArticleFile(name="a.md", content="---\nid: a\n---\nFirst.")], "fleet")
    await backups.take()
    await backups.restore()
    await desk.import_articles([ArticleFile(name="a.md", content="---\nid: a\n---\nSecond.")], "fleet")
    await desk.import_articles([ArticleFile(name="b.md", content="---\nid: b\n---\nOther.")], "elsewhere")
    with pytest.raises(NotEmptyError, match="holds 1 articles"):
        await backups.restore()
    assert await desk.article("a") == "Second."
    await backups.restore(replace=True)
    assert await desk.article("a") == "First."
    assert [await desk.article("a", rev) for rev in (1, 2, 3)] == ["First.", "Second.", "First."]
    assert await desk.article("b") is None
    assert await desk.article("b", 1) == "Other."
    await desk.import_articles([ArticleFile(name="b.md", content="---\nid: b\n---\nAgain.")], "elsewhere")
    assert await desk.article("b", 3) == "Again."


async def test_damaged_backup_is_told_and_nothing_is_restored(
    tmp_path: Path, desks: list[KnowledgeHandlers], objects: ObstoreObjects
) -> None:
    """A blob that is not what its name says, one that is gone, a manifest that is none."""
    desk = opened(desks, tmp_path / "milvus")
    backups = Backups(desk.knowledge_base, objects, keep=3)
    await desk.import_articles(FILES[:4], "fleet")
    manifest = (await backups.take()).manifest
    blob = min(manifest.blobs)
    kept = await objects.get(f"blobs/{blob}.gz")
    await objects.put(f"blobs/{blob}.gz", kept[:-9])
    with pytest.raises(DamagedError, match=blob):
        await backups.restore()
    await objects.remove([f"blobs/{blob}.gz"])
    with pytest.raises(DamagedError, match=blob):
        await backups.restore()
    assert await desk.article("refund-1") is not None
    await objects.put("manifests/99991231T000000Z-00000000", b"{}")
    assert [found.id for found in await backups.manifests()] == [manifest.id]
    with pytest.raises(NoBackupError):
        await backups.restore("20200101T000000Z-00000000")
    # A full one mends what is broken.
    await backups.take(full=True)
    await backups.restore()


async def test_object_store_that_cannot_be_reached_is_told_with_its_place(
    tmp_path: Path, desks: list[KnowledgeHandlers]
) -> None:
    """A folder that cannot be made, a scheme that nobody knows."""
    (tmp_path / "file").write_text("no folder")
    desk = opened(desks, tmp_path / "milvus")
    for url in (str(tmp_path / "file" / "below"), "gopher://somewhere/x"):
        with pytest.raises(ObjectsUnavailableError, match=r"below|gopher"):
            await Backups(desk.knowledge_base, ObstoreObjects(url), keep=3).take()


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
    """Whatever was there before and after the backup."""
    old, new = version("old", 1), version("new", 2)
    backup = StoreDump([old], [], None, "lexical")
    merged = restored(backup, [old, new]).versions
    assert merged == [old, new, version("old", 3)]
    assert restored(backup, []).versions == [old]
    assert restored(StoreDump([old, new], [], None, "lexical"), [old]).versions == [old, new]
    gone = restored(StoreDump([], [], None, "lexical"), [old]).versions
    assert latest(gone)["one", "a"].is_removed
    assert latest(gone)["one", "a"].document.rev == 2
    removed = version("", 2, is_removed=True)
    assert restored(StoreDump([old, removed], [], None, "lexical"), [old]).versions == [old, removed]


def test_newest_backup_is_never_too_many() -> None:
    """Whatever one asks to keep."""
    ids = ["20260101T000000Z-a", "20260103T000000Z-c", "20260102T000000Z-b"]
    assert outdated(ids, 0) == [ids[2], ids[0]]
    assert outdated(ids, 2) == [ids[0]]
    assert outdated(ids, 5) == []

"""Backups: a restore gives back the same content, increments are small, incomplete backups do not exist."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from trunkline_chassis.errors import ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_protocols.knowledge import (
    Article,
    ArticleFile,
    GetArticle,
    ImportArticles,
    PassagesFound,
    SearchKnowledge,
)
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.backups import Backups, NoBackupError
from trunkline_rag.application.knowledge_base import KnowledgeBase, NotEmptyError
from trunkline_rag.core.articles import Document
from trunkline_rag.core.backups import DamagedBackupError, StoreDump, expired_backups, merge_backup
from trunkline_rag.core.versions import ArticleVersion, latest_by_key

from tests.support.borders import ListedBorders
from tests.support.embedders import LetterEmbedder
from tests.support.parsers import InProcessParser

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


class Node:
    """A knowledge base on its own folder."""

    def __init__(self, folder: Path, embedder: LetterEmbedder | None = None) -> None:
        self.store = (
            MilvusStore(str(folder), embedder=embedder.name, dimensions=embedder.dimensions)
            if embedder
            else MilvusStore(str(folder))
        )
        self.knowledge_base = KnowledgeBase(self.store, embedder, own_source="fleet", parser=InProcessParser())

    async def import_articles(self, files: Sequence[ArticleFile], source: str = "", *, prune: bool = False) -> None:
        request = ImportArticles(tenant="default", files=list(files), source=source, prune=prune)
        await self.knowledge_base.import_articles(request)

    async def answers(self) -> list[PassagesFound]:
        """What is found, without how long it took."""
        found = [
            await self.knowledge_base.search(SearchKnowledge(query=question, tenant="default", limit=10))
            for question in QUESTIONS
        ]
        return [PassagesFound(passages=answer.passages, stale=answer.stale) for answer in found]

    async def article(self, document: str, rev: int = 0) -> str | None:
        read = await self.knowledge_base.get_article(GetArticle(document=document, tenant="default", rev=rev))
        return read.text if isinstance(read, Article) else None


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    """Nodes to close at the end."""
    opened: list[Node] = []
    yield opened
    for node in opened:
        node.store.close()


@pytest.fixture
def objects(tmp_path: Path) -> ObstoreObjectStore:
    """An empty folder for backups."""
    return ObstoreObjectStore(str(tmp_path / "backups"))


def metric(name: str) -> float:
    """Return a metric of the latest backup."""
    return REGISTRY.get_sample_value(f"trunkline_knowledge_backup_{name}") or 0.0


def open_node(nodes: list[Node], folder: Path, embedder: LetterEmbedder | None = None) -> Node:
    nodes.append(Node(folder, embedder))
    return nodes[-1]


@pytest.mark.parametrize("embedder", [None, LetterEmbedder()], ids=["words", "vectors"])
async def test_restored_knowledge_base_gives_identical_search_results(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore, embedder: LetterEmbedder | None
) -> None:
    """Restored into an empty folder and reopened; old versions are readable too."""
    first = open_node(nodes, tmp_path / "first", embedder)
    await first.import_articles(FILES)
    await first.import_articles(
        [ArticleFile(name="refund-1.md", content="---\nid: refund-1\n---\nA refund takes a day.")]
    )
    before = await first.answers()
    assert all(answer.passages for answer in before)
    taken = await Backups(first.knowledge_base, objects, ListedBorders(), keep=3).take()
    assert (taken.manifest.articles, taken.manifest.kind) == (64, "full")

    second = open_node(nodes, tmp_path / "second", embedder)
    await Backups(second.knowledge_base, objects, ListedBorders(), keep=3).restore()
    assert await second.answers() == before
    nodes.remove(second)
    second.store.close()
    third = open_node(nodes, tmp_path / "second", embedder)
    await third.knowledge_base.open()
    assert await third.answers() == before
    assert await third.article("refund-1") == "A refund takes a day."
    assert "kind 1 takes 3 days" in (await third.article("refund-1", rev=1) or "")


async def test_backup_of_another_embedder_is_embedded_again(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore
) -> None:
    """A restore does not mix vectors of two models."""
    first = open_node(nodes, tmp_path / "first", LetterEmbedder())
    await first.import_articles(FILES[:8])
    await Backups(first.knowledge_base, objects, ListedBorders(), keep=3).take()
    other = LetterEmbedder("upside-down", sign=-1)
    second = open_node(nodes, tmp_path / "second", other)
    await Backups(second.knowledge_base, objects, ListedBorders(), keep=3).restore()
    assert not second.store.needs_vectors
    vectors = second.store.read_passages().vectors
    assert vectors is not None
    assert (vectors == other.embed([row.embedding_text for row in second.store.read_passages().rows])).all()


async def test_backup_of_an_earlier_process_has_its_age(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore
) -> None:
    """A restart makes no backup look missing, and unchanged content no backup look old."""
    node = open_node(nodes, tmp_path / "node")
    await node.import_articles(FILES[:8])
    taken = await Backups(node.knowledge_base, objects, ListedBorders(), keep=3).take()
    schedule = asyncio.create_task(Backups(node.knowledge_base, objects, ListedBorders(), keep=3).run(0.01))
    async with asyncio.timeout(30):
        await asyncio.sleep(0)
        assert metric("current_timestamp_seconds") == 0
        while metric("current_timestamp_seconds") <= taken.manifest.created_at:
            await asyncio.sleep(0.01)
    schedule.cancel()
    await asyncio.wait([schedule])
    assert metric("timestamp_seconds") == taken.manifest.created_at


async def test_incremental_backup_writes_changes_and_a_full_one_everything(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore
) -> None:
    """Each lists all of its blobs."""
    node = open_node(nodes, tmp_path / "milvus")
    backups = Backups(node.knowledge_base, objects, ListedBorders(), keep=9)
    await node.import_articles(FILES)
    first = (await backups.take()).manifest
    assert first.written == len(first.blobs)
    assert (await backups.take()).manifest.written == 0
    assert metric("current_timestamp_seconds") == metric("timestamp_seconds") > 0
    assert await backups.take_if_changed() is None
    assert metric("current_timestamp_seconds") > metric("timestamp_seconds")
    await node.import_articles([ArticleFile(name="router-3.md", content="---\nid: router-3\n---\nNew text.")])
    second = (await backups.take()).manifest
    assert (second.kind, second.written) == ("incremental", 1)
    assert len(second.blobs) == len(first.blobs)
    full = (await backups.take(full=True)).manifest
    assert (full.kind, full.written) == ("full", len(full.blobs))


async def test_interrupted_backup_leaves_the_earlier_ones_intact(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore
) -> None:
    """It does not exist, and the next backup is complete."""
    node = open_node(nodes, tmp_path / "milvus")
    await node.import_articles(FILES[:32])
    before = await node.answers()
    good = (await Backups(node.knowledge_base, objects, ListedBorders(), keep=3).take()).manifest
    await node.import_articles(FILES[32:])
    for puts in range(0, 24, 5):
        with pytest.raises(ObjectStoreUnavailableError):
            await Backups(node.knowledge_base, FailingObjectStore(objects, puts), ListedBorders(), keep=3).take()
    assert [
        manifest.id for manifest in await Backups(node.knowledge_base, objects, ListedBorders(), keep=3).manifests()
    ] == [good.id]
    other = open_node(nodes, tmp_path / "other")
    backups = Backups(other.knowledge_base, objects, ListedBorders(), keep=3)
    await backups.restore()
    assert await other.answers() == before
    after = await node.answers()
    await Backups(node.knowledge_base, objects, ListedBorders(), keep=3).take()
    await backups.restore(replace=True)
    assert await other.answers() == after


async def test_older_backups_and_their_unreferenced_blobs_are_removed(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore
) -> None:
    """Young blobs stay: a backup in progress may be about to reference them."""
    node = open_node(nodes, tmp_path / "milvus")
    backups = Backups(node.knowledge_base, objects, ListedBorders(), keep=2)
    results = []
    for number in range(4):
        await node.import_articles([ArticleFile(name="a.md", content=f"---\nid: a\n---\nText {number}.")])
        results.append(await backups.take())
    taken = results[-1]
    assert len(taken.removed) == 1
    kept = await backups.manifests()
    assert kept[0].id == taken.manifest.id
    assert len(kept) == 2
    assert len(await objects.list_objects("blobs")) == 4
    await backups.prune(2, now=taken.manifest.created_at + 86_400)
    assert set(await objects.list_objects("blobs")) == {f"{blob}.gz" for manifest in kept for blob in manifest.blobs}
    await backups.restore(kept[1].id, replace=True)
    assert await node.article("a") == "Text 2."


async def test_restore_over_articles_is_refused_unless_they_are_of_the_fleet_or_replaced(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore
) -> None:
    """After a restore every citation still opens the text that it quoted."""
    node = open_node(nodes, tmp_path / "milvus")
    backups = Backups(node.knowledge_base, objects, ListedBorders(), keep=3)
    with pytest.raises(NoBackupError):
        await backups.restore()
    await node.import_articles([ArticleFile(name="a.md", content="---\nid: a\n---\nFirst.")], "fleet")
    await backups.take()
    await backups.restore()
    await node.import_articles([ArticleFile(name="a.md", content="---\nid: a\n---\nSecond.")], "fleet")
    await node.import_articles([ArticleFile(name="b.md", content="---\nid: b\n---\nOther.")], "elsewhere")
    with pytest.raises(NotEmptyError, match="holds 1 articles"):
        await backups.restore()
    assert await node.article("a") == "Second."
    await backups.restore(replace=True)
    assert await node.article("a") == "First."
    assert [await node.article("a", rev) for rev in (1, 2, 3)] == ["First.", "Second.", "First."]
    assert await node.article("b") is None
    assert await node.article("b", 1) == "Other."
    await node.import_articles([ArticleFile(name="b.md", content="---\nid: b\n---\nAgain.")], "elsewhere")
    assert await node.article("b", 3) == "Again."


async def test_damaged_backup_is_reported_and_nothing_is_merge_backup(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore
) -> None:
    """A blob with other content, a missing blob, an undecodable manifest."""
    node = open_node(nodes, tmp_path / "milvus")
    backups = Backups(node.knowledge_base, objects, ListedBorders(), keep=3)
    await node.import_articles(FILES[:4], "fleet")
    manifest = (await backups.take()).manifest
    blob = min(manifest.blobs)
    kept = await objects.get(f"blobs/{blob}.gz")
    await objects.put(f"blobs/{blob}.gz", kept[:-9])
    with pytest.raises(DamagedBackupError, match=blob):
        await backups.restore()
    await objects.delete([f"blobs/{blob}.gz"])
    with pytest.raises(DamagedBackupError, match=blob):
        await backups.restore()
    assert await node.article("refund-1") is not None
    await objects.put("manifests/99991231T000000Z-00000000", b"{}")
    assert [found.id for found in await backups.manifests()] == [manifest.id]
    with pytest.raises(NoBackupError):
        await backups.restore("20200101T000000Z-00000000")
    # A full backup replaces damaged blobs.
    await backups.take(full=True)
    await backups.restore()


async def test_unavailable_object_store_is_reported_with_its_location(tmp_path: Path, nodes: list[Node]) -> None:
    """A folder that cannot be created, an unknown scheme."""
    (tmp_path / "file").write_text("no folder")
    node = open_node(nodes, tmp_path / "milvus")
    for url in (str(tmp_path / "file" / "below"), "gopher://somewhere/x"):
        with pytest.raises(ObjectStoreUnavailableError, match=r"below|gopher"):
            await Backups(node.knowledge_base, ObstoreObjectStore(url), ListedBorders(), keep=3).take()


class FailingObjectStore:
    """An object store that becomes unavailable after a number of puts."""

    def __init__(self, objects: ObstoreObjectStore, puts: int) -> None:
        self._objects = objects
        self._remaining_puts = puts
        self.location = objects.location

    async def put(self, name: str, payload: bytes) -> None:
        if self._remaining_puts == 0:
            raise ObjectStoreUnavailableError(f"{self.location}: down")
        self._remaining_puts -= 1
        await self._objects.put(name, payload)

    def __getattr__(self, name: str) -> Any:
        """Delegate everything else."""
        return getattr(self._objects, name)


# -- the content after a restore ---


def version(text: str, rev: int, *, is_removed: bool = False, tenant: str = "one") -> ArticleVersion:
    return ArticleVersion(tenant, Document("a", "A", text, rev=rev), is_removed)


def test_version_number_never_refers_to_two_texts() -> None:
    """Neither with versions from before the backup nor from after it."""
    old, new = version("old", 1), version("new", 2)
    backup = StoreDump([old], [], None, "lexical")
    merged = merge_backup(backup, [old, new]).versions
    assert merged == [old, new, version("old", 3)]
    assert merge_backup(backup, []).versions == [old]
    assert merge_backup(StoreDump([old, new], [], None, "lexical"), [old]).versions == [old, new]
    removed_live = merge_backup(StoreDump([], [], None, "lexical"), [old]).versions
    assert latest_by_key(removed_live)["one", "a"].is_removed
    assert latest_by_key(removed_live)["one", "a"].document.rev == 2
    removed = version("", 2, is_removed=True)
    assert merge_backup(StoreDump([old, removed], [], None, "lexical"), [old]).versions == [old, removed]


def test_newest_backup_never_expires() -> None:
    """Even if none is to be kept."""
    ids = ["20260101T000000Z-a", "20260103T000000Z-c", "20260102T000000Z-b"]
    assert expired_backups(ids, 0) == [ids[2], ids[0]]
    assert expired_backups(ids, 2) == [ids[0]]
    assert expired_backups(ids, 5) == []


async def test_backup_of_another_region_is_not_restored(
    tmp_path: Path, nodes: list[Node], objects: ObstoreObjectStore
) -> None:
    """Two regions share a place by mistake; a backup of an earlier version has no region, and is restored."""
    first = open_node(nodes, tmp_path / "first")
    await first.import_articles(FILES)
    taken = await Backups(first.knowledge_base, objects, ListedBorders("us"), keep=3).take()
    assert taken.manifest.region == "us"
    second, borders = open_node(nodes, tmp_path / "second"), ListedBorders("eu")
    with pytest.raises(NoBackupError, match="region us"):
        await Backups(second.knowledge_base, objects, borders, keep=3).restore()
    assert borders.refused == [("backup", "us", "eu")]
    assert not any(answer.passages for answer in await second.answers())
    earlier = msgspec.structs.replace(taken.manifest, region="")
    await objects.put(f"manifests/{taken.manifest.id}", msgspec.json.encode(earlier))
    await Backups(second.knowledge_base, objects, borders, keep=3).restore()
    assert all(answer.passages for answer in await second.answers())

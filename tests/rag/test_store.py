"""The store on a real Milvus Lite: replaced whole, versions kept, crashes mended, two models never mixed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
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
from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.articles import Document
from trunkline_rag.core.passages import rows_of
from trunkline_rag.core.question import read_question
from trunkline_rag.core.scope import Audience
from trunkline_rag.ports import StagedArticle, StoreUnavailableError

from tests.support.embedders import LetterEmbedder

pytestmark = pytest.mark.processes

OLD = Document(
    "refunds", "Refunds", "First.\n\n" + "\n\n".join(f"Paragraph {n} {'x' * 800}" for n in range(3)), ["a"], rev=1
)
NEW = Document("refunds", "Refunds", "Only this.", ["b"], "2026-02-02", rev=2)
OTHER = Document("wifi", "Wi-Fi", "Restart the router.", ["network"], rev=1)


def filed(*documents: Document, tenant: str = "default") -> list[StagedArticle]:
    return [StagedArticle(document, rows_of(document, tenant), None) for document in documents]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MilvusStore]:
    """An empty store."""
    opened = MilvusStore(str(tmp_path / "milvus"))
    yield opened
    opened.close()


def test_document_of_the_same_id_is_replaced_whole_and_its_old_version_can_be_read(store: MilvusStore) -> None:
    """No passage of the old text is found, and a citation of it still opens what it quotes."""
    store.put("default", filed(OLD, OTHER))
    store.put("default", filed(NEW))
    assert store.get("default", "refunds") == (NEW, True)
    assert store.get("default", "refunds", 1) == (OLD, False)
    assert sorted(row.text for row in store.holdings().rows) == ["Only this.", "Restart the router."]


def test_removed_document_is_not_found_and_comes_back_as_a_new_version(store: MilvusStore) -> None:
    """Its versions stay readable."""
    store.put("default", filed(OTHER))
    store.remove("default", ["wifi", "unknown"])
    assert store.holdings().rows == []
    assert store.latest_versions("default") == {}
    assert store.get("default", "wifi") is None
    assert store.get("default", "wifi", 1) == (OTHER, False)


async def test_article_that_comes_back_after_its_removal_stays(tmp_path: Path) -> None:
    """Under a number that was never used, so that the removal does not count any more, now and after reopening."""
    store = MilvusStore(str(tmp_path / "milvus"))
    knowledge_base = KnowledgeBase(store)
    file = ArticleFile(name="wifi.md", content="---\nid: wifi\n---\nRestart the router.")
    for files in ([file], [], [file]):
        order = ImportArticles(tenant="default", files=files, source="here", prune=True)
        assert isinstance(await knowledge_base.import_articles(order), ArticlesImported)
    assert store.latest_versions("default")["wifi"].rev == 3
    store.close()
    again = MilvusStore(str(tmp_path / "milvus"))
    assert [row.text for row in again.holdings().rows] == ["Restart the router."]
    assert again.get("default", "wifi") is not None
    again.close()


def test_tenants_have_articles_of_their_own(store: MilvusStore) -> None:
    """Also under the same id."""
    store.put("one", filed(OLD, tenant="one"))
    store.put("two", filed(NEW, tenant="two"))
    assert store.get("one", "refunds") == (OLD, True)
    assert store.get("two", "refunds") == (NEW, True)
    assert store.get("three", "refunds") is None


def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    """A folder outlives its process."""
    first = MilvusStore(str(tmp_path / "milvus"))
    first.put("default", filed(OLD, OTHER))
    rows, latest_versions = first.holdings().rows, first.latest_versions("default")
    first.close()
    second = MilvusStore(str(tmp_path / "milvus"))
    assert second.holdings().rows == rows
    assert second.latest_versions("default") == latest_versions
    second.close()


WRITER = """
import asyncio, sys
from trunkline_protocols.knowledge import ArticleFile, ImportArticles
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.knowledge_base import KnowledgeBase

async def main():
    library = KnowledgeBase(MilvusStore(sys.argv[1]))
    print("open", flush=True)
    files = [ArticleFile(name="kb.jsonl", content=sys.stdin.read())]
    await library.import_articles(ImportArticles(tenant="default", files=files))
    print("done", flush=True)

asyncio.run(main())
"""


def test_import_that_was_killed_loses_and_doubles_nothing_when_it_is_repeated(tmp_path: Path) -> None:
    """Kill -9 in mid-import, over older versions of half of the articles; then again."""
    folder = str(tmp_path / "milvus")
    before = [f'{{"id": "d{n}", "title": "D", "content": "Old {n}."}}' for n in range(0, 1_200, 2)]
    after = [f'{{"id": "d{n}", "title": "D", "content": "New {n}.\\n\\n{"x" * 598}"}}' for n in range(1_200)]
    after = [line.replace("\n", "\\n") for line in after]
    run_writer(folder, before, kill=False)
    run_writer(folder, after, kill=True)
    store = MilvusStore(folder)
    knowledge_base = KnowledgeBase(store)
    rows = store.holdings().rows
    assert {row.document for row in rows} >= {f"d{n}" for n in range(0, 1_200, 2)}
    assert len({(row.document, row.text) for row in rows}) == len(rows)
    assert all(len({row.rev for row in rows if row.document == f"d{n}"}) <= 1 for n in range(0, 1_200, 97))
    order = ImportArticles(tenant="default", files=[ArticleFile(name="kb.jsonl", content="\n".join(after))])
    asyncio.run(knowledge_base.import_articles(order))
    expected = sorted([*(f"New {n}." for n in range(1_200)), *["x" * 598] * 1_200])
    assert sorted(row.text for row in store.holdings().rows) == expected
    store.close()
    # Milvus says the same as the file beside it, and holds nothing else.
    for file in Path(folder).glob("*.kept"):
        file.unlink()
    store = MilvusStore(folder)
    assert sorted(row.text for row in store.holdings().rows) == expected
    assert len(list(store._milvus.every(store._names.passages, ["key"]))) == len(expected)
    store.close()


def run_writer(folder: str, lines: list[str], *, kill: bool) -> None:
    program = [sys.executable, "-c", WRITER, folder]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        writer.stdin.write("\n".join(lines))
        writer.stdin.close()
        if not kill:
            assert "done\n" in writer.stdout
            return
        # Wherever it is by then: the property holds at every moment, and most runs hit the middle.
        log = Path(folder) / "knowledge.db"
        size = folder_bytes(log)
        while folder_bytes(log) < size + 200_000 and writer.poll() is None:
            pass
        writer.kill()


def folder_bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


@pytest.mark.parametrize("failing", ["passages", "articles"])
async def test_import_that_failed_is_repeated_without_loss_or_double(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Written in part, before or after the article's own row: the same process goes on from what the store has."""
    store = MilvusStore(str(tmp_path / "milvus"))
    knowledge_base = KnowledgeBase(store)
    await imported(knowledge_base, source="here")
    insert = store._milvus.insert

    def break_after_it(collection: str, rows: list[dict[str, object]]) -> None:
        insert(collection, rows)
        if collection.startswith(failing):
            raise OSError("connection lost")

    def files(text: str) -> list[ArticleFile]:
        return [ArticleFile(name=f"{n}.md", content=f"---\nid: {n}\n---\n{text} {n}.") for n in ("refunds", "more")]

    with monkeypatch.context() as patch:
        patch.setattr(store._milvus, "insert", break_after_it)
        with pytest.raises(StoreUnavailableError):
            await imported(knowledge_base, source="here", files=files(f"Long.\n\n{'x' * 900}\n\nLong"))
    await imported(knowledge_base, source="here", files=files("New"))
    last = ArticleFile(name="last.md", content="---\nid: last\n---\nLast.")
    await imported(knowledge_base, source="here", files=[last])
    expected = {"refunds": "New refunds.", "more": "New more.", "last": "Last."}
    for _ in range(2):
        rows = store.holdings().rows
        assert {row.document: row.text for row in rows if row.document in expected} == expected
        assert len(list(store._milvus.every(store._names.passages, ["key"]))) == len(rows) == len(FILES) + 2
        store.close()
        for file in (tmp_path / "milvus").glob("*.kept"):
            file.unlink()
        store = MilvusStore(str(tmp_path / "milvus"))
    store.close()


def test_second_process_on_one_folder_is_told_so(tmp_path: Path) -> None:
    """A clear error, not a broken folder."""
    folder = str(tmp_path / "milvus")
    first = MilvusStore(folder)
    program = f"from trunkline_rag.adapters.milvus import MilvusStore; MilvusStore({folder!r})"
    second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    first.close()
    assert second.returncode != 0
    assert "open in another process" in second.stderr


# -- the library over it ---

FILES = [
    ArticleFile(name="refunds.md", content="---\nid: refunds\ntopics: [money]\n---\nA refund takes five days."),
    ArticleFile(
        name="wifi.md", content="---\nid: wifi\ntopics: [network]\n---\nRestart the router when it is offline."
    ),
    ArticleFile(
        name="secret.md", content="---\nid: secret\nvisibility: internal\n---\nA refund over 500 needs a senior."
    ),
    ArticleFile(name="old.md", content="---\nid: old\nvalid_until: 2020-01-01\n---\nA refund takes ninety days."),
]


async def imported(knowledge_base: KnowledgeBase, **options: object) -> ArticlesImported:
    order = {"tenant": "default", "files": FILES, **options}
    done = await knowledge_base.import_articles(ImportArticles(**order))  # type: ignore[arg-type]
    assert isinstance(done, ArticlesImported)
    return done


async def found(knowledge_base: KnowledgeBase, query: str, **options: object) -> PassagesFound:
    return await knowledge_base.search(SearchKnowledge(query=query, tenant="default", **options))  # type: ignore[arg-type]


async def test_import_leaves_what_has_not_changed_and_takes_out_what_is_gone(store: MilvusStore) -> None:
    """Per source: what others have imported stays."""
    knowledge_base = KnowledgeBase(store)
    assert (await imported(knowledge_base, source="here")).documents == 4
    await imported(
        knowledge_base, source="elsewhere", files=[ArticleFile(name="x.md", content="---\nid: x\n---\nText.")]
    )
    again = await imported(knowledge_base, source="here", files=FILES[:2], prune=True)
    assert (again.unchanged, again.removed, again.passages) == (2, 2, 0)
    assert set(store.latest_versions("default")) == {"refunds", "wifi", "x"}


@pytest.mark.parametrize("embedder", [None, LetterEmbedder()], ids=["words", "vectors"])
async def test_index_after_imports_is_what_a_fresh_start_reads(tmp_path: Path, embedder: LetterEmbedder | None) -> None:
    """Changed, removed and new articles: rows and vectors in the same order, so that equal ranks fall the same way."""
    folder = str(tmp_path / "milvus")
    name, dimensions = (embedder.name, embedder.dimensions) if embedder else ("lexical", 0)
    store = MilvusStore(folder, embedder=name, dimensions=dimensions)
    knowledge_base = KnowledgeBase(store, embedder)
    await imported(knowledge_base, source="here")
    more = [ArticleFile(name=f"{n}.md", content=f"---\nid: {n}\n---\nA refund.\n\n{'x' * 999}\n\nEnd.") for n in "zaw"]
    await imported(knowledge_base, source="here", files=more[:1], more=True)
    await imported(knowledge_base, source="here", files=[FILES[1], *more[1:]], prune=True, present=["z", "secret"])
    await imported(
        knowledge_base, source="here", files=[ArticleFile(name="a.md", content="---\nid: a\n---\nA router.")]
    )
    held, read = knowledge_base._holdings, store.holdings()
    assert [row.document for row in read.rows] == ["a", "secret", "w", "w", "w", "wifi", "z", "z", "z"]
    assert held.rows == read.rows
    assert (held.vectors is None) == (read.vectors is None) == (embedder is None)
    if held.vectors is not None and read.vectors is not None:
        assert np.allclose(held.vectors, read.vectors)
    store.close()


async def test_customers_find_neither_internal_nor_expired_articles(store: MilvusStore) -> None:
    """Colleagues find the internal ones when they say so."""
    knowledge_base = KnowledgeBase(store)
    await imported(knowledge_base)
    assert [passage.document for passage in (await found(knowledge_base, "refund")).passages] == ["refunds"]
    for_colleagues = await found(knowledge_base, "refund", internal=True)
    assert {passage.document: passage.internal for passage in for_colleagues.passages} == {
        "refunds": False,
        "secret": True,
    }


async def test_passage_names_the_version_that_it_is_verbatim_in(store: MilvusStore) -> None:
    """Also when the article has changed since."""
    knowledge_base = KnowledgeBase(store)
    await imported(knowledge_base)
    passage = (await found(knowledge_base, "refund")).passages[0]
    await imported(knowledge_base, files=[ArticleFile(name="refunds.md", content="---\nid: refunds\n---\nGone.")])
    article = await knowledge_base.article(GetArticle(document="refunds", tenant="default", rev=passage.rev))
    assert isinstance(article, Article)
    assert passage.text in article.text
    assert not article.is_latest


async def test_another_embedder_gets_a_collection_of_its_own_while_searches_go_on(tmp_path: Path) -> None:
    """Vectors of two models never meet; words answer until the new ones are there."""
    folder = str(tmp_path / "milvus")
    first = MilvusStore(folder)
    await imported(KnowledgeBase(first))
    first.close()
    letters = LetterEmbedder()
    second = MilvusStore(folder, embedder=letters.name, dimensions=letters.dimensions)
    knowledge_base = KnowledgeBase(second, letters)
    await knowledge_base.open()
    assert second.needs_vectors
    assert second.holdings().vectors is None
    assert (await found(knowledge_base, "router")).passages[0].document == "wifi"
    await knowledge_base.reembed()
    assert not second.needs_vectors
    vectors = second.holdings().vectors
    assert vectors is not None
    assert vectors.shape == (4, 26)
    assert (await found(knowledge_base, "router")).passages[0].document == "wifi"
    second.close()


async def test_store_that_searches_itself_finds_what_the_index_finds(tmp_path: Path) -> None:
    """Native hybrid search and the index in the process: the same best passage, for words and with vectors."""
    letters = LetterEmbedder()
    folder = str(tmp_path / "milvus")
    store = MilvusStore(folder, embedder=letters.name, dimensions=letters.dimensions, native=True)
    knowledge_base = KnowledgeBase(store, letters)
    await imported(knowledge_base)
    in_process = KnowledgeBase(NotNative(store), letters)
    await in_process.open()
    for query in ("how long does a refund take", "my router is offline", "Offline again. Also I wait for a refund."):
        ours, theirs = await found(in_process, query), await found(knowledge_base, query)
        assert {passage.document for passage in ours.passages} == {passage.document for passage in theirs.passages}
    for query in ("how long does a refund take", "my router is offline"):
        ours, theirs = await found(in_process, query), await found(knowledge_base, query)
        assert ours.passages[0].document == theirs.passages[0].document
    question = read_question("refund").with_vectors(letters.embed(["refund"]))
    ranks = store.native_ranks(question, tenant="default", topics=["network"], asker=Audience(), limit=5)
    assert ranks is not None
    assert {document for document, _ in ranks[0]} <= {"wifi"}
    store.close()


class NotNative:
    """The same store, searched in the process."""

    is_native = False

    def __init__(self, store: MilvusStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        """Everything else is the store's."""
        return getattr(self._store, name)


class Away(NotNative):
    """A store whose server has gone."""

    def holdings(self) -> object:
        raise StoreUnavailableError("gone")


async def test_searches_go_on_and_say_so_when_the_store_is_away(store: MilvusStore) -> None:
    """From the last index."""
    knowledge_base = KnowledgeBase(store)
    await imported(knowledge_base)
    assert not (await found(knowledge_base, "refund")).stale
    knowledge_base._store = Away(store)  # type: ignore[assignment]
    await knowledge_base.open()
    answer = await found(knowledge_base, "refund")
    assert answer.stale
    assert answer.passages[0].document == "refunds"


async def test_hostile_tenant_and_endless_query_do_no_harm(store: MilvusStore) -> None:
    """A quote in a tenant's name is refused before it reaches an expression; 8,000 characters are searched."""
    knowledge_base = KnowledgeBase(store)
    await imported(knowledge_base)
    hostile = SearchKnowledge(query="refund", tenant='x" or tenant != "')
    assert (await knowledge_base.search(hostile)).passages == []
    assert (await found(knowledge_base, "refund. " * 1_000)).passages[0].document == "refunds"

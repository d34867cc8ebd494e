"""The knowledge base on a real Milvus Lite: import, search, versions, change of embedder, outages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from trunkline_protocols.knowledge import AnalyseMessage, Article, ArticleFile, GetArticle, SearchKnowledge
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.passage_set import PassageSet
from trunkline_rag.core.question import read_question
from trunkline_rag.core.scope import SearchAudience
from trunkline_rag.ports import StoreUnavailableError

from tests.rag.sample_articles import FILES, import_files, search
from tests.support.embedders import LetterEmbedder
from tests.support.parsers import InProcessParser

pytestmark = pytest.mark.processes


async def test_import_skips_unchanged_articles_and_prunes_missing_ones(store: MilvusStore) -> None:
    """Pruning is per source: articles of other sources stay."""
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    assert (await import_files(knowledge_base, source="here")).documents == 4
    await import_files(
        knowledge_base, source="elsewhere", files=[ArticleFile(name="x.md", content="---\nid: x\n---\nText.")]
    )
    repeated = await import_files(knowledge_base, source="here", files=FILES[:2], prune=True)
    assert (repeated.unchanged, repeated.removed, repeated.passages) == (2, 2, 0)
    assert set(store.latest_versions("default")) == {"refunds", "wifi", "x"}


@pytest.mark.parametrize("embedder", [None, LetterEmbedder()], ids=["words", "vectors"])
async def test_index_after_imports_equals_that_of_a_fresh_start(
    tmp_path: Path, embedder: LetterEmbedder | None
) -> None:
    """Rows and vectors have the same order after changes and removals, so that ties are broken the same way."""
    folder = str(tmp_path / "milvus")
    name, dimensions = (embedder.name, embedder.dimensions) if embedder else ("lexical", 0)
    store = MilvusStore(folder, embedder=name, dimensions=dimensions)
    knowledge_base = KnowledgeBase(store, embedder, parser=InProcessParser())
    await import_files(knowledge_base, source="here")
    more = [ArticleFile(name=f"{n}.md", content=f"---\nid: {n}\n---\nA refund.\n\n{'x' * 999}\n\nEnd.") for n in "zaw"]
    await import_files(knowledge_base, source="here", files=more[:1], more=True)
    await import_files(knowledge_base, source="here", files=[FILES[1], *more[1:]], prune=True, present=["z", "secret"])
    await import_files(
        knowledge_base, source="here", files=[ArticleFile(name="a.md", content="---\nid: a\n---\nA router.")]
    )
    held, read = knowledge_base._index.passages, store.read_passages()
    assert [row.document for row in read.rows] == ["a", "secret", "w", "w", "w", "wifi", "z", "z", "z"]
    assert held.rows == read.rows
    assert (held.vectors is None) == (read.vectors is None) == (embedder is None)
    if held.vectors is not None and read.vectors is not None:
        assert np.allclose(held.vectors, read.vectors)
    store.close()


async def test_customers_find_neither_internal_nor_expired_articles(store: MilvusStore) -> None:
    """An internal search finds internal articles too."""
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    await import_files(knowledge_base)
    assert [passage.document for passage in (await search(knowledge_base, "refund")).passages] == ["refunds"]
    internal = await search(knowledge_base, "refund", internal=True)
    assert {passage.document: passage.internal for passage in internal.passages} == {
        "refunds": False,
        "secret": True,
    }


@pytest.mark.parametrize("embedder", [None, LetterEmbedder()], ids=["words", "vectors"])
async def test_analysis_finds_what_a_search_with_its_vector_finds(
    tmp_path: Path, embedder: LetterEmbedder | None
) -> None:
    """For a foreign message nothing is searched: it is not answered from articles."""
    name, dimensions = (embedder.name, embedder.dimensions) if embedder else ("lexical", 0)
    store = MilvusStore(str(tmp_path / "milvus"), embedder=name, dimensions=dimensions)
    knowledge_base = KnowledgeBase(store, embedder, parser=InProcessParser())
    await import_files(knowledge_base)
    text = "When do I get my refund for the router?"
    query = SearchKnowledge(query=text, tenant="default", limit=3)
    analysed = await knowledge_base.analyse(AnalyseMessage(text=text, languages=["en"], search=query))
    found = await knowledge_base.search(SearchKnowledge(query=text, tenant="default", limit=3, vector=analysed.vector))
    assert analysed.passages == found.passages != []
    assert (await knowledge_base.analyse(AnalyseMessage(text=text, languages=["en"]))).passages is None
    german = "Wann bekomme ich endlich mein Geld zurück, ich warte schon seit drei Wochen?"
    foreign = await knowledge_base.analyse(AnalyseMessage(text=german, languages=["en"], search=query))
    assert (foreign.language, foreign.passages) == ("de", None)
    store.close()


async def test_passage_names_the_version_that_contains_it(store: MilvusStore) -> None:
    """Also after a change of the article."""
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    await import_files(knowledge_base)
    passage = (await search(knowledge_base, "refund")).passages[0]
    await import_files(knowledge_base, files=[ArticleFile(name="refunds.md", content="---\nid: refunds\n---\nGone.")])
    article = await knowledge_base.get_article(GetArticle(document="refunds", tenant="default", rev=passage.rev))
    assert isinstance(article, Article)
    assert passage.text in article.text
    assert not article.is_latest


async def test_article_is_read_by_its_present_audience_only(store: MilvusStore) -> None:
    """The scope of the latest version counts for old versions too; an internal version is never read."""
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())

    async def publish(scope: str) -> None:
        article = ArticleFile(name="a.md", content=f"---\nid: a\n{scope}\n---\nText {scope or 'of the first version'}.")
        await import_files(knowledge_base, files=[article])

    async def reads(rev: int = 0, **audience: Any) -> bool:
        query = GetArticle(document="a", tenant="default", rev=rev, **audience)
        return isinstance(await knowledge_base.get_article(query), Article)

    await publish("")
    first = store.latest_versions("default")["a"].rev
    assert await reads()
    assert await reads(first, region="local", language="en", specialties=["billing"])
    for scope, refused, admitted in (
        ("visibility: internal", {}, {"internal": True}),
        ("region: mars", {"region": "local"}, {"region": "mars"}),
        ("language: de", {"language": "en"}, {"language": "de"}),
        ("specialties: [returns]", {"specialties": ["billing"]}, {"specialties": ["billing", "returns"]}),
        ("valid_until: 2020-01-01", {}, None),
        ("valid_from: 2999-01-01", {}, None),
    ):
        await publish(scope)
        for rev in (0, first):
            assert not await reads(rev, **refused), scope
            assert admitted is None or await reads(rev, **admitted), scope
    await publish("visibility: internal")
    internal = store.latest_versions("default")["a"].rev
    await publish("")
    assert await reads(first)
    assert not await reads(internal)
    assert await reads(internal, internal=True)


async def test_another_embedder_gets_its_own_collection_while_searches_continue(tmp_path: Path) -> None:
    """Vectors of two models are never mixed; term search answers until the new ones are active."""
    folder = str(tmp_path / "milvus")
    first = MilvusStore(folder)
    await import_files(KnowledgeBase(first, parser=InProcessParser()))
    first.close()
    letters = LetterEmbedder()
    second = MilvusStore(folder, embedder=letters.name, dimensions=letters.dimensions)
    knowledge_base = KnowledgeBase(second, letters, parser=InProcessParser())
    await knowledge_base.open()
    assert second.needs_vectors
    assert second.read_passages().vectors is None
    assert (await search(knowledge_base, "router")).passages[0].document == "wifi"
    await knowledge_base.reembed()
    assert not second.needs_vectors
    vectors = second.read_passages().vectors
    assert vectors is not None
    assert vectors.shape == (4, 26)
    assert (await search(knowledge_base, "router")).passages[0].document == "wifi"
    second.close()


async def test_native_search_finds_the_same_as_the_index(tmp_path: Path) -> None:
    """The best passage is the same, by terms and with vectors."""
    letters = LetterEmbedder()
    folder = str(tmp_path / "milvus")
    store = MilvusStore(folder, embedder=letters.name, dimensions=letters.dimensions, native_search=True)
    knowledge_base = KnowledgeBase(store, letters, parser=InProcessParser())
    await import_files(knowledge_base)
    in_process = KnowledgeBase(IndexSearchOnly(store), letters, parser=InProcessParser())
    await in_process.open()
    for query in ("how long does a refund take", "my router is offline", "Offline again. Also I wait for a refund."):
        ours, theirs = await search(in_process, query), await search(knowledge_base, query)
        assert {passage.document for passage in ours.passages} == {passage.document for passage in theirs.passages}
    for query in ("how long does a refund take", "my router is offline"):
        ours, theirs = await search(in_process, query), await search(knowledge_base, query)
        assert ours.passages[0].document == theirs.passages[0].document
    question = read_question("refund").with_vectors(letters.embed(["refund"]))
    ranks = store.search(question, tenant="default", topics=["network"], audience=SearchAudience(), limit=5)
    assert {document for document, _ in ranks[0]} <= {"wifi"}
    store.close()


class IndexSearchOnly:
    """A store without native search."""

    has_native_search = False

    def __init__(self, store: MilvusStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """Delegate everything else."""
        return getattr(self._store, name)


class Outage(IndexSearchOnly):
    """A store whose server can become unavailable."""

    is_down = False

    def read_passages(self) -> PassageSet:
        if self.is_down:
            raise StoreUnavailableError("down")
        return self._store.read_passages()


class HangingSearch(IndexSearchOnly):
    """A store whose native search does not answer until it is released."""

    has_native_search = True

    def __init__(self, store: MilvusStore) -> None:
        super().__init__(store)
        self.released = Event()

    def search(self, *_: Any, **__: Any) -> list[Any]:
        self.released.wait(30)
        return []


@pytest.mark.parametrize("tenant", ["default", "it's"])
async def test_analysis_does_not_wait_for_a_search_that_hangs_or_is_refused(tmp_path: Path, tenant: str) -> None:
    """An emergency is recognised by the vector: routing by words alone would miss more of them."""
    letters = LetterEmbedder()
    store = MilvusStore(str(tmp_path / "milvus"), embedder=letters.name, dimensions=letters.dimensions)
    hanging = HangingSearch(store)
    knowledge_base = KnowledgeBase(hanging, letters, fingerprint="letters", parser=InProcessParser())
    await import_files(knowledge_base)
    query = SearchKnowledge(query="refund", tenant=tenant)
    try:
        async with asyncio.timeout(5):
            analysed = await knowledge_base.analyse(AnalyseMessage(text="refund", search=query))
        assert analysed.vector
        assert analysed.passages is None
    finally:
        hanging.released.set()
        store.close()


async def test_searches_during_an_outage_use_the_last_index_and_are_marked_stale(store: MilvusStore) -> None:
    """The next load after the outage ends it."""
    outage = Outage(store)
    knowledge_base = KnowledgeBase(outage, parser=InProcessParser())
    await import_files(knowledge_base)
    assert not (await search(knowledge_base, "refund")).stale
    outage.is_down = True
    await knowledge_base.open()
    answer = await search(knowledge_base, "refund")
    assert answer.stale
    assert answer.passages[0].document == "refunds"
    with pytest.raises(StoreUnavailableError):
        await import_files(knowledge_base, files=FILES[:1])
    outage.is_down = False
    await import_files(knowledge_base, files=FILES[:1])
    assert not (await search(knowledge_base, "refund")).stale


async def test_hostile_tenant_and_very_long_query_are_harmless(store: MilvusStore) -> None:
    """A quote in the tenant matches nothing; of a long query, 8,000 characters are searched."""
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    await import_files(knowledge_base)
    hostile = SearchKnowledge(query="refund", tenant='x" or tenant != "')
    assert (await knowledge_base.search(hostile)).passages == []
    assert (await search(knowledge_base, "refund. " * 1_000)).passages[0].document == "refunds"

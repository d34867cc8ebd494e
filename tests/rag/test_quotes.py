"""Quotes of the built-in provider from the demo fleet's articles: each is verbatim in the version that it cites."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_llm_gateway.core.extractive import compose
from trunkline_protocols.knowledge import Article, GetArticle, ImportArticles, SearchKnowledge
from trunkline_rag.adapters.knowledge_folder import read_folder
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.articles.limits import ParseLimits

from tests.support.parsers import InProcessParser

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
ANSWERS = 500


async def test_every_quote_of_500_random_answers_is_verbatim_in_the_cited_version(tmp_path: Path) -> None:
    """Half of the articles change in the middle; a citation still opens the text that it quotes."""
    rng = random.Random(7)  # noqa: S311 - the same questions every time
    examples = [example for agent in load_fleet(ROOT / "fleet").agents for example in agent.examples]
    store = MilvusStore(str(tmp_path / "milvus"))
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    request, problems = read_folder(ROOT / "fleet" / "knowledge", "default", ParseLimits())
    assert not problems
    await knowledge_base.import_articles(request)
    cited = []
    answered = 0
    for number in range(ANSWERS):
        if number == ANSWERS // 2:
            await knowledge_base.import_articles(changed(request))
        question = f"{rng.choice(examples)} {rng.choice(examples) if rng.random() < 0.3 else ''}"
        found = await knowledge_base.search(SearchKnowledge(query=question, tenant="default"))
        composed = compose(question, found.passages)
        answered += bool(composed.parts)
        cited += composed.citations
    assert answered > ANSWERS // 2
    assert {citation.rev for citation in cited} == {1, 2}
    for citation in cited:
        article = await knowledge_base.get_article(
            GetArticle(document=citation.document, tenant="default", rev=citation.rev)
        )
        assert isinstance(article, Article)
        assert citation.quote in article.text
    store.close()


def changed(request: ImportArticles) -> ImportArticles:
    """Reword every second article, so that old quotes are verbatim in old versions only."""
    files = [type(file)(name=file.name, data=file.data.replace(b" the ", b" the very ")) for file in request.files[::2]]
    return ImportArticles(tenant=request.tenant, files=files, source=request.source)

"""Sample articles, and how tests import and search them."""

from __future__ import annotations

from typing import Any

from trunkline_protocols.knowledge import ArticleFile, ArticlesImported, ImportArticles, PassagesFound, SearchKnowledge
from trunkline_rag.application.knowledge_base import KnowledgeBase

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


async def import_files(knowledge_base: KnowledgeBase, **options: Any) -> ArticlesImported:
    return await knowledge_base.import_articles(ImportArticles(**{"tenant": "default", "files": FILES, **options}))


async def search(knowledge_base: KnowledgeBase, query: str, **options: Any) -> PassagesFound:
    return await knowledge_base.search(SearchKnowledge(query=query, tenant="default", **options))

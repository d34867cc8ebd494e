"""Retrieval on public data: bank support articles and the scenarios that need them (tests/README.md has the source)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from trunkline_protocols.knowledge import ArticleFile
from trunkline_rag.core.articles import Document, parse, slug
from trunkline_rag.core.index import Index
from trunkline_rag.core.passages import split_document
from trunkline_rag.core.question import read_question

FOLDER = Path(os.environ.get("TRUNKLINE_DATA", "/nowhere")) / "kb"


@pytest.mark.skipif(not FOLDER.exists(), reason="needs TRUNKLINE_DATA with kb/tau_banking.*.jsonl")
def test_most_scenarios_find_an_article_that_they_need(record_property: Callable[[str, object], None]) -> None:
    """698 articles, term search only; prints the figures and requires hit@5 of at least 0.5."""
    content = (FOLDER / "tau_banking.documents.jsonl").read_text(encoding="utf-8")
    documents = [item for item in parse(ArticleFile(name="tau.jsonl", content=content)) if isinstance(item, Document)]
    index = Index([row for document in documents for row in split_document(document, "default")])
    queries = [json.loads(line) for line in (FOLDER / "tau_banking.queries.dev.jsonl").read_text().splitlines()]
    ranks = []
    for query in queries:
        needed = {slug(document) for document in query["documents"]}
        hits = index.search(read_question(query["query"]), tenant="default", limit=20)
        found = list(dict.fromkeys(hit.row.document for hit in hits))
        ranks.append(next((rank for rank, id_ in enumerate(found, start=1) if id_ in needed), 0))
    at_1 = sum(rank == 1 for rank in ranks) / len(ranks)
    at_5 = sum(0 < rank <= 5 for rank in ranks) / len(ranks)
    record_property("hit@1", at_1)
    record_property("hit@5", at_5)
    print(f"hit@1 {at_1:.3f} hit@5 {at_5:.3f} of {len(documents)} articles, {len(queries)} queries")
    assert at_5 >= 0.5

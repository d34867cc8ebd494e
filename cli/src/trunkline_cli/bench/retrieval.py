"""`trunkline bench retrieval`: the knowledge service's index on articles and questions with the articles they need.

`hit@k`: part of the questions with a needed article among the first k. `recall@k`: part of the needed articles among
the first k, on average. `mrr`: mean of one through the rank of the first needed article.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from trunkline_embedding import LEXICAL, EmbedderChoice, EmbeddingError, open_embedder
from trunkline_protocols.knowledge import ArticleFile
from trunkline_rag.core.articles import Document, parse, slug
from trunkline_rag.core.index import Index
from trunkline_rag.core.passages import split_document
from trunkline_rag.core.question import read_question
from trunkline_rag.core.vector_index import VectorIndex

from trunkline_cli.bench.rows import percentile, read_rows
from trunkline_cli.errors import CommandError

_TENANT: Final = "bench"
_DEEPEST: Final = 20
_PASSAGES: Final = 2 * _DEEPEST


class _Query(msgspec.Struct):
    query: str
    documents: list[str]


class RetrievalFigures(
    msgspec.Struct, rename={"hit_1": "hit@1", "hit_5": "hit@5", "recall_5": "recall@5", "recall_20": "recall@20"}
):
    """What was measured. Shares from 0 to 1; times of one search in milliseconds, with the query's embedding."""

    hit_1: float
    hit_5: float
    recall_5: float
    recall_20: float
    mrr: float
    p50_ms: float
    p95_ms: float
    queries_per_s: float
    cpu_ms: float
    embedder: str
    documents: int
    passages: int
    queries: int
    index_s: float


def measure_retrieval(documents: Path, queries: Path, choice: EmbedderChoice) -> RetrievalFigures:
    """Index the articles of one file and ask the questions of another."""
    asked = read_rows(queries, _Query)
    articles = _articles(documents)
    started = time.perf_counter()
    rows = [row for article in articles for row in split_document(article, _TENANT)]
    try:
        embedder = open_embedder(choice)
        vectors = embedder.embed([row.embedding_text for row in rows]) if embedder is not None else None
    except EmbeddingError as error:
        raise CommandError(str(error)) from error
    index = Index(rows)
    if vectors is not None:
        index = index.with_vectors(VectorIndex(vectors))
    index_s = time.perf_counter() - started
    found: list[list[str]] = []
    times: list[float] = []
    cpu_started, at_first = time.process_time(), time.perf_counter()
    for query in asked:
        at = time.perf_counter()
        question = read_question(query.query)
        if embedder is not None:
            question = question.with_vectors(embedder.embed(question.sentences))
        hits = index.search(question, tenant=_TENANT, limit=_PASSAGES)
        times.append((time.perf_counter() - at) * 1000)
        found.append(list(dict.fromkeys(hit.row.document for hit in hits)))
    took_s = time.perf_counter() - at_first
    cpu_ms = (time.process_time() - cpu_started) * 1000 / len(asked)
    needed = [{slug(document) for document in query.documents} for query in asked]
    ranks = [
        next((rank for rank, document in enumerate(ranked, start=1) if document in wanted), 0)
        for ranked, wanted in zip(found, needed, strict=True)
    ]
    return RetrievalFigures(
        hit_1=_mean([rank == 1 for rank in ranks]),
        hit_5=_mean([0 < rank <= 5 for rank in ranks]),  # noqa: PLR2004 - as the figure is named
        recall_5=_mean([_recall(ranked, wanted, 5) for ranked, wanted in zip(found, needed, strict=True)]),
        recall_20=_mean([_recall(ranked, wanted, _DEEPEST) for ranked, wanted in zip(found, needed, strict=True)]),
        mrr=_mean([1 / rank if rank else 0.0 for rank in ranks]),
        p50_ms=percentile(times, 0.5),
        p95_ms=percentile(times, 0.95),
        queries_per_s=round(len(asked) / took_s, 1),
        cpu_ms=round(cpu_ms, 3),
        embedder=embedder.name if embedder is not None else LEXICAL,
        documents=len(articles),
        passages=len(rows),
        queries=len(asked),
        index_s=round(index_s, 3),
    )


def _articles(file: Path) -> list[Document]:
    """Read as an import reads: what it would refuse is a fault of the file here."""
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: {error}") from error
    articles: list[Document] = []
    for parsed in parse(ArticleFile(name=file.name, content=content)):
        if not isinstance(parsed, Document):
            raise CommandError(f"{parsed.name}: {parsed.reason}")
        articles.append(parsed)
    if not articles:
        raise CommandError(f"{file}: no article in it")
    return articles


def _recall(ranked: Sequence[str], wanted: set[str], depth: int) -> float:
    return len(wanted & set(ranked[:depth])) / len(wanted) if wanted else 0.0


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)

"""`trunkline bench retrieval`: the search index of the knowledge service on questions with known articles.

`hit@k`: share of the questions with a relevant article among the first k. `recall@k`: share of the relevant articles
among the first k, averaged over the questions. `mrr`: mean reciprocal rank of the first relevant article.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from trunkline_embedding import LEXICAL, Embedder, EmbedderChoice, EmbeddingError, open_embedder
from trunkline_protocols.knowledge import ArticleFile
from trunkline_rag.application.passage_embedding import embed_passages
from trunkline_rag.core.articles import Document, parse, slug
from trunkline_rag.core.index import Index
from trunkline_rag.core.passages import split_document
from trunkline_rag.core.question import read_question
from trunkline_rag.core.vector_index import VectorIndex

from trunkline_cli.bench.rows import percentile, read_rows
from trunkline_cli.errors import CommandError

_TENANT: Final = "bench"
_MAX_RANK: Final = 20
_MAX_PASSAGES: Final = 2 * _MAX_RANK


class _Query(msgspec.Struct):
    query: str
    documents: list[str]

    @property
    def relevant(self) -> set[str]:
        return {slug(document) for document in self.documents}


class RetrievalFigures(
    msgspec.Struct, rename={"hit_1": "hit@1", "hit_5": "hit@5", "recall_5": "recall@5", "recall_20": "recall@20"}
):
    """Results. Shares from 0 to 1; times per search in milliseconds, including the embedding of the query."""

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
    """Index the articles of one file and search for the questions of another."""
    asked = read_rows(queries, _Query)
    articles = _articles(documents)
    started = time.perf_counter()
    index, embedder, passages = _build_index(articles, choice)
    index_s = time.perf_counter() - started
    run = _search_all(index, embedder, asked)
    relevant = [query.relevant for query in asked]
    ranks = [_first_rank(ranked, wanted) for ranked, wanted in zip(run.ranked, relevant, strict=True)]
    return RetrievalFigures(
        hit_1=_mean([rank == 1 for rank in ranks]),
        hit_5=_mean([0 < rank <= 5 for rank in ranks]),  # noqa: PLR2004 - the depth in the figure's name
        recall_5=_mean([_recall(ranked, wanted, 5) for ranked, wanted in zip(run.ranked, relevant, strict=True)]),
        recall_20=_mean(
            [_recall(ranked, wanted, _MAX_RANK) for ranked, wanted in zip(run.ranked, relevant, strict=True)]
        ),
        mrr=_mean([1 / rank if rank else 0.0 for rank in ranks]),
        p50_ms=percentile(run.times_ms, 0.5),
        p95_ms=percentile(run.times_ms, 0.95),
        queries_per_s=round(len(asked) / run.elapsed_s, 1),
        cpu_ms=round(run.cpu_ms, 3),
        embedder=embedder.name if embedder is not None else LEXICAL,
        documents=len(articles),
        passages=passages,
        queries=len(asked),
        index_s=round(index_s, 3),
    )


def _articles(file: Path) -> list[Document]:
    """Parse a file as an import does; raise `CommandError` if an import would reject any of it."""
    try:
        content = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: {error}") from error
    articles: list[Document] = []
    for parsed in parse(ArticleFile(name=file.name, content=content)):
        if not isinstance(parsed, Document):
            raise CommandError(f"{parsed.name}: {parsed.reason}")
        articles.append(parsed)
    if not articles:
        raise CommandError(f"{file}: the file has no article")
    return articles


def _build_index(articles: Sequence[Document], choice: EmbedderChoice) -> tuple[Index, Embedder | None, int]:
    """Return the index of the articles' passages, its embedder, and the number of passages."""
    split = [row for article in articles for row in split_document(article, _TENANT)]
    try:
        embedder = open_embedder(choice)
        rows, vectors = embed_passages(split, embedder)
    except EmbeddingError as error:
        raise CommandError(str(error)) from error
    index = Index(rows)
    return index.with_vectors(VectorIndex(vectors)) if vectors is not None else index, embedder, len(rows)


class _Run(NamedTuple):
    ranked: list[list[str]]
    """Ids of the found articles per query, best first."""
    times_ms: list[float]
    elapsed_s: float
    cpu_ms: float
    """CPU time per query."""


def _search_all(index: Index, embedder: Embedder | None, queries: Sequence[_Query]) -> _Run:
    ranked: list[list[str]] = []
    times_ms: list[float] = []
    cpu_started, started = time.process_time(), time.perf_counter()
    for query in queries:
        query_started = time.perf_counter()
        question = read_question(query.query)
        if embedder is not None:
            vectors = embedder.embed(question.sentences if question.is_long else [question.text])
            question = question.with_vectors(vectors) if question.is_long else question.with_vector(vectors[0])
        hits = index.search(question, tenant=_TENANT, limit=_MAX_PASSAGES)
        times_ms.append((time.perf_counter() - query_started) * 1000)
        ranked.append(list(dict.fromkeys(hit.row.document for hit in hits)))
    elapsed_s = time.perf_counter() - started
    return _Run(ranked, times_ms, elapsed_s, (time.process_time() - cpu_started) * 1000 / len(queries))


def _first_rank(ranked: Sequence[str], relevant: set[str]) -> int:
    """Return the rank from 1 of the first relevant article; 0 if none was found."""
    return next((rank for rank, document in enumerate(ranked, start=1) if document in relevant), 0)


def _recall(ranked: Sequence[str], relevant: set[str], depth: int) -> float:
    return len(relevant & set(ranked[:depth])) / len(relevant) if relevant else 0.0


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)

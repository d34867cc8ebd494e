"""Import of article files: parse, skip unchanged articles, store the others with their passages."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
import structlog
from trunkline_chassis.cancellation import run_in_thread
from trunkline_embedding import Embedder
from trunkline_protocols.ids import token
from trunkline_protocols.knowledge import ArticlesImported, ImportArticles, ImportProblem

from trunkline_rag.application.passage_embedding import embed_passages
from trunkline_rag.application.synced_index import SyncedIndex
from trunkline_rag.core.articles import Document, ImportReport, with_ids
from trunkline_rag.core.passage_set import StagedArticle
from trunkline_rag.core.passages import split_document
from trunkline_rag.core.versions import LatestVersion
from trunkline_rag.ports import ArticleParser, ArticleStore

_log: Final = structlog.get_logger(__name__)
_BATCH: Final = 200
_PARSE_TIMEOUT_S: Final = 60.0
"""Files that are left then are reported: the requester waits for two minutes in all."""


T = TypeVar("T")


class ArticleImporter:
    """Writes imports into the store; searches use the previous index until an import is complete.

    A cancelled import ends after its batch, and holds the write lock until then.
    """

    def __init__(
        self, store: ArticleStore, index: SyncedIndex, embedder: Embedder | None, parser: ArticleParser
    ) -> None:
        """Without an embedder, passages are stored without vectors."""
        self._store = store
        self._index = index
        self._embedder = embedder
        self._parser = parser
        self._parsing = asyncio.Lock()
        """Held by the one thread that parses, so that waiting imports take no threads from searches."""

    async def import_articles(self, request: ImportArticles) -> ArticlesImported:
        """Store changed articles, remove pruned ones and report problems."""
        tenant = token(request.tenant, "tenant")
        async with self._parsing:
            documents, report = await _run(lambda stop: self._parse_files(request, stop))
        async with self._index.writing():
            known = await run_in_thread(lambda: self._store.latest_versions(tenant))
            changed = [
                dataclasses.replace(document, rev=self._store.next_rev(tenant, id_), source=request.source)
                for id_, document in documents.items()
                if id_ not in known or known[id_].digest != document.digest
            ]
            # A file that could not be read may hold an article that is known.
            pruned = _pruned(request, known, documents) if not report.problems else []
            report.warnings += _replaced(changed, known)
            passages = await _run(lambda stop: self._store_all(tenant, changed, stop))
            await run_in_thread(lambda: self._store.remove(tenant, pruned))
            self._index.stage({(tenant, id_): None for id_ in pruned})
            await self._index.commit(is_changed=bool(changed or pruned), is_complete=not request.more)
        _log.info(
            "articles.imported",
            documents=len(changed),
            passages=passages,
            problems=len(report.problems),
            warnings=len(report.warnings),
            removed=len(pruned),
            visible_words=report.visible_words,
            kept_words=report.kept_words,
        )
        return ArticlesImported(
            documents=len(documents),
            passages=passages,
            problems=report.problems,
            unchanged=len(documents) - len(changed),
            removed=len(pruned),
            warnings=report.warnings,
            visible_words=report.visible_words,
            kept_words=report.kept_words,
        )

    def _parse_files(self, request: ImportArticles, stop: threading.Event) -> tuple[dict[str, Document], ImportReport]:
        documents: dict[str, Document] = {}
        report = ImportReport()
        for item in self._parser.parse(with_ids(request.files), timeout_s=_PARSE_TIMEOUT_S):
            if stop.is_set():
                break
            if (document := report.accept(item)) is not None:
                documents[document.id] = document
        return documents, report

    def _store_all(self, tenant: str, documents: Sequence[Document], stop: threading.Event) -> int:
        """Store in batches, each durable at once: a repeated import skips the batches before a crash."""
        passages = 0
        for start in range(0, len(documents), _BATCH):
            if stop.is_set():
                break
            batch = documents[start : start + _BATCH]
            split = [split_document(document, tenant) for document in batch]
            rows, vectors = embed_passages([row for document_rows in split for row in document_rows], self._embedder)
            ends = np.cumsum([0, *map(len, split)]).tolist()
            parts = [slice(start, end) for start, end in pairwise(ends)]
            articles = [
                StagedArticle(document, rows[part], vectors[part] if vectors is not None else None)
                for document, part in zip(batch, parts, strict=True)
            ]
            self._store.put(tenant, articles)
            self._index.stage({(tenant, article.document.id): article for article in articles})
            passages += ends[-1]
        return passages


async def _run(work: Callable[[threading.Event], T]) -> T:
    """Run work in a thread; a cancellation sets the event and is raised after the end of the work."""
    stop = threading.Event()
    return await run_in_thread(lambda: work(stop), on_cancel=stop.set)


def _replaced(changed: Sequence[Document], known: dict[str, LatestVersion]) -> list[ImportProblem]:
    """Return a warning for each article that replaces one of another import, possibly by chance."""
    return [
        ImportProblem(
            name=document.origin, reason=f"replaces article {document.id!r} of another import: {latest.source}"
        )
        for document in changed
        if (latest := known.get(document.id)) is not None
        and not latest.is_removed
        and latest.source not in {"", document.source}
    ]


def _pruned(request: ImportArticles, known: dict[str, LatestVersion], documents: dict[str, Document]) -> list[str]:
    if not request.prune:
        return []
    present = {*request.present, *documents}
    return [id_ for id_, latest in known.items() if latest.source == request.source and id_ not in present]

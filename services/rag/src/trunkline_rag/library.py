"""The library: the store is the truth, the index in this process answers. Imports go in beside the searches."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import structlog
from prometheus_client import Gauge
from trunkline_embedding import Embedder, EmbeddingError
from trunkline_protocols.ids import token
from trunkline_protocols.knowledge import (
    Article,
    ArticlesImported,
    GetArticle,
    ImportArticles,
    ImportProblem,
    Passage,
    PassagesFound,
    Refused,
    SearchKnowledge,
)

from trunkline_rag.core.articles import Document, parse
from trunkline_rag.core.index import Hit, Index
from trunkline_rag.core.passages import rows_of
from trunkline_rag.core.question import Question, Vectors, read_question
from trunkline_rag.core.scope import Asker
from trunkline_rag.core.snapshots import Key, Stock, latest, restored
from trunkline_rag.ports import Filed, Holdings, Store, StoreUnavailableError

_log: Final = structlog.get_logger(__name__)
_PASSAGES: Final = Gauge("trunkline_knowledge_passages", "Passages that can be found")
_MOST_PASSAGES: Final = 50
_CANDIDATES: Final = 50
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, and whether they come from what was last known of a store that is away."""

    hits: list[Hit]
    stale: bool


class NotEmptyError(RuntimeError):
    """A restore would take the place of articles."""

    def __init__(self, articles: int) -> None:
        """Say how many, and what to do."""
        super().__init__(f"the knowledge base holds {articles} articles; a restore with `replace` takes their place")


class Library:
    """The knowledge base."""

    def __init__(self, store: Store, embedder: Embedder | None = None, *, own_source: str = "") -> None:
        """Answer nothing until `open` has run. `own_source` names what comes at every start by itself."""
        self._own_source = own_source
        self._store = store
        self._embedder = embedder
        self._holdings = Holdings([], None)
        self._index = Index([])
        self._pending: dict[Key, Filed | None] = {}
        """Articles that were stored, or removed, since the index was made."""
        self._writing = asyncio.Lock()
        self._is_open = False
        self._is_away = False

    async def open(self) -> None:
        """Make the index from what is stored; when the store is away, the index of before stays."""
        try:
            holdings = await asyncio.to_thread(self._store.holdings)
        except StoreUnavailableError as error:
            self._is_away = True
            _log.warning("library.away", error=str(error))
            return
        await self._show(holdings)
        _log.info("library.open", passages=len(self._index), vectors=holdings.vectors is not None)

    async def _show(self, holdings: Holdings) -> None:
        self._index = await asyncio.to_thread(Index, holdings.rows, holdings.vectors)
        self._holdings, self._pending = holdings, {}
        self._is_open, self._is_away = True, False
        _PASSAGES.set(len(self._index))

    async def embed_anew(self) -> None:
        """Embed all passages for this process' embedder and swap them in; searches go by words until then."""
        async with self._writing:
            holdings = await asyncio.to_thread(self._store.holdings)
            vectors = await asyncio.to_thread(self._embedded, [row.embedded for row in holdings.rows])
            await asyncio.to_thread(self._store.replace_vectors, Holdings(holdings.rows, vectors))
            await self.open()
        _log.info("library.embedded", passages=len(holdings.rows), embedder=self._embedder and self._embedder.name)

    # -- snapshots ---

    async def stock(self) -> Stock:
        """Read everything between two imports."""
        async with self._writing:
            return await asyncio.to_thread(self._store.stock)

    async def restore(self, snapshot: Stock, *, replace: bool) -> None:
        """Put a snapshot in force; searches go on in what was there until it is.

        What the fleet's own folder has brought is no reason to refuse: it comes at every start.
        """
        async with self._writing:
            live = (await asyncio.to_thread(self._store.stock)).versions
            others = sum(
                not head.is_removed and head.document.source != self._own_source for head in latest(live).values()
            )
            if others and not replace:
                raise NotEmptyError(others)
            stock = restored(snapshot, live)
            if stock.embedder != self._store.tag:
                vectors = await asyncio.to_thread(self._embedded, [row.embedded for row in stock.rows])
                stock = dataclasses.replace(stock, vectors=vectors, embedder=self._store.tag)
            await asyncio.to_thread(self._store.replace, stock)
            await self.open()

    # -- search ---

    async def search(self, request: SearchKnowledge) -> PassagesFound:
        """Find passages, best first."""
        started = time.perf_counter()
        limit = max(1, min(request.limit, _MOST_PASSAGES))
        found = await self._found(await self._question(request.query), request, limit)
        return PassagesFound(
            passages=[
                Passage(
                    document=hit.row.document,
                    title=hit.row.title,
                    text=hit.row.text,
                    score=round(hit.score, 4),
                    rev=hit.row.rev,
                    headings=hit.row.headings,
                    internal=hit.row.scope.visibility == "internal",
                )
                for hit in found.hits
            ],
            took_ms=round((time.perf_counter() - started) * 1000, 3),
            stale=found.stale,
        )

    async def _question(self, query: str) -> Question:
        if self._embedder is None:
            return read_question(query)
        try:
            return await asyncio.to_thread(read_question, query, self._embedder.embed)
        except EmbeddingError as error:
            _log.warning("library.no_vectors", error=str(error))
            return read_question(query)

    async def _found(self, question: Question, request: SearchKnowledge, limit: int) -> Found:
        asker = Asker(
            region=request.region,
            language=request.language,
            specialty=request.specialty,
            internal=request.internal,
            today=datetime.fromtimestamp(time.time(), UTC).date().isoformat(),
        )
        native = await self._native(question, request, asker, limit)
        if native is not None:
            return Found(native, stale=False)
        hits = self._index.search(question, tenant=request.tenant, asker=asker, topics=request.topics, limit=limit)
        return Found(hits, self._is_away)

    async def _native(self, question: Question, request: SearchKnowledge, asker: Asker, limit: int) -> list[Hit] | None:
        try:
            rankings = (
                await asyncio.to_thread(
                    lambda: self._store.native_ranks(
                        question,
                        tenant=token(request.tenant, "tenant"),
                        topics=[token(topic, "topic") for topic in request.topics],
                        asker=asker,
                        limit=_CANDIDATES,
                    )
                )
                if self._store.is_native
                else None
            )
        except StoreUnavailableError as error:
            _log.warning("library.away", error=str(error))
            self._is_away = True
            return None
        if rankings is None:
            return None
        self._is_away = False
        return self._index.by_ranks(rankings, question, tenant=request.tenant, asker=asker, limit=limit)

    async def article(self, request: GetArticle) -> Article | Refused:
        """Read one whole article, in the version that is asked for."""
        tenant, document = token(request.tenant, "tenant"), token(request.document, "document")
        try:
            found = await asyncio.to_thread(self._store.get, tenant, document, request.rev)
        except StoreUnavailableError as error:
            return Refused(code="unavailable", message=str(error), retryable=True)
        if found is None:
            return Refused(code="not_found", message=f"no article {document}", retryable=False)
        read, is_latest = found
        return Article(
            document=read.id,
            title=read.title,
            text=read.text,
            topics=read.topics,
            updated=read.updated,
            rev=read.rev,
            is_latest=is_latest,
            internal=read.scope.visibility == "internal",
        )

    # -- import ---

    async def take_in(self, request: ImportArticles) -> ArticlesImported | Refused:
        """Store what has changed, report what cannot be read; searches go on with the old index until all is there."""
        tenant = token(request.tenant, "tenant")
        documents, problems = await asyncio.to_thread(_read, request)
        async with self._writing:
            if not self._is_open:
                await self.open()
            if not self._is_open:
                return Refused(code="unavailable", message="the store cannot be reached", retryable=True)
            known = await asyncio.to_thread(self._store.heads, tenant)
            changed = [
                dataclasses.replace(document, rev=self._store.next_rev(tenant, id_), source=request.source)
                for id_, document in documents.items()
                if id_ not in known or known[id_].digest != document.digest
            ]
            gone: list[str] = []
            if request.prune:
                present = {*request.present, *documents}
                gone = [id_ for id_, head in known.items() if head.source == request.source and id_ not in present]
            try:
                passages = await asyncio.to_thread(self._store_all, tenant, changed)
                await asyncio.to_thread(self._store.remove, tenant, gone)
                self._pending |= {(tenant, id_): None for id_ in gone}
                if not request.more:
                    await asyncio.to_thread(self._store.settle)
            except (StoreUnavailableError, EmbeddingError) as error:
                return Refused(code="unavailable", message=str(error), retryable=True)
            if not request.more and self._pending:
                await self._show(await asyncio.to_thread(self._holdings.changed, self._pending))
        _log.info("library.imported", documents=len(changed), passages=passages, problems=len(problems), gone=len(gone))
        return ArticlesImported(
            documents=len(documents),
            passages=passages,
            problems=problems,
            unchanged=len(documents) - len(changed),
            removed=len(gone),
            ids=list(documents),
        )

    def _store_all(self, tenant: str, documents: Sequence[Document]) -> int:
        """Batch by batch: what was stored when a process dies is there, and is not stored again."""
        passages = 0
        for start in range(0, len(documents), _BATCH):
            batch = documents[start : start + _BATCH]
            rows = [rows_of(document, tenant) for document in batch]
            vectors = self._embedded([row.embedded for found in rows for row in found])
            ends = np.cumsum([0, *map(len, rows)]).tolist()
            filed = [
                Filed(document, found, vectors[ends[number] : ends[number + 1]] if vectors is not None else None)
                for number, (document, found) in enumerate(zip(batch, rows, strict=True))
            ]
            self._store.put(tenant, filed)
            self._pending |= {(tenant, article.document.id): article for article in filed}
            passages += ends[-1]
        return passages

    def _embedded(self, texts: Sequence[str]) -> Vectors | None:
        return self._embedder.embed(texts) if self._embedder is not None else None


def _read(request: ImportArticles) -> tuple[dict[str, Document], list[ImportProblem]]:
    documents: dict[str, Document] = {}
    problems: list[ImportProblem] = []
    for file in request.files:
        for parsed in parse(file):
            if isinstance(parsed, Document):
                documents[parsed.id] = parsed
            else:
                problems.append(parsed)
    return documents, problems

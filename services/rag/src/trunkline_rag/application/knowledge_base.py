"""The library: the store is the truth, the index in this process answers. Imports go in beside the searches."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import numpy as np
import structlog
from prometheus_client import Gauge
from trunkline_chassis.cache_metrics import count_lookup
from trunkline_embedding import CachedEmbedder, Embedder, EmbeddingError
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

from trunkline_rag.application.write_lock import LocalWriteLock
from trunkline_rag.core.articles import Document, parse
from trunkline_rag.core.backups import Key, StoreDump, latest, restored
from trunkline_rag.core.index import Hit, Index
from trunkline_rag.core.passages import rows_of
from trunkline_rag.core.question import SearchQuestion, Vectors, read_question
from trunkline_rag.core.scope import Audience
from trunkline_rag.core.vector_index import VectorIndex
from trunkline_rag.ports import PassageSet, StagedArticle, Store, StoreUnavailableError, WriteLock

_log: Final = structlog.get_logger(__name__)
_PASSAGES: Final = Gauge("trunkline_knowledge_passages", "Passages that can be found")
_MOST_PASSAGES: Final = 50
_CANDIDATES: Final = 50
_BATCH: Final = 200

R = TypeVar("R")


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


class KnowledgeBase:
    """The knowledge base."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder | None = None,
        *,
        write_lock: WriteLock | None = None,
        own_source: str = "",
    ) -> None:
        """Answer nothing until `open` has run. `own_source` names what comes at every start by itself."""
        self._own_source = own_source
        self._store = store
        self._embedder = embedder
        self._asked = CachedEmbedder(embedder, on_lookup=count_lookup) if embedder is not None else None
        """For questions: they come again. Passages do not, and would drive them out."""
        self._holdings = PassageSet([], None)
        self._index = Index([])
        self._pending: dict[Key, StagedArticle | None] = {}
        """Articles that were stored, or removed, since the index was made."""
        self._write_lock: WriteLock = write_lock if write_lock is not None else LocalWriteLock()
        self._writing = asyncio.Lock()
        self._version = 0
        """Of what is known of the store."""
        self._is_shown = False
        """All of it is in the index."""
        self._is_read = False
        """What writing must know is known: the versions in force."""
        self._had_turn = False
        """Of writing: from then on what the store knows may be older than what it holds."""
        self._is_away = False

    # -- what is in the index ---

    async def open(self) -> None:
        """Make the index from what is stored; when the store is away, the index of before stays."""
        async with self._writing:
            await self._read()

    async def follow(self) -> None:
        """Take over what other processes have written, and what could not be read before; until cancelled."""
        await self._write_lock.follow(self._catch_up)

    async def _catch_up(self) -> None:
        async with self._writing:
            if not self._is_shown or self._is_away or await self._write_lock.version() != self._version:
                await self._read()

    async def _read(self) -> None:
        started = time.perf_counter()
        version = await self._write_lock.version()
        try:
            if self._write_lock.are_shared or self._had_turn:
                await asyncio.to_thread(self._store.refresh)
            holdings = await asyncio.to_thread(_uncollected, self._store.holdings)
        except StoreUnavailableError as error:
            self._is_away = True
            _log.warning("library.away", error=str(error))
            return
        self._version, self._is_read = version, True
        await self._show(holdings)
        took_ms = round((time.perf_counter() - started) * 1000)
        vectors = holdings.vectors is not None
        _log.info("library.open", passages=len(self._index), vectors=vectors, took_ms=took_ms)

    async def _show(self, holdings: PassageSet) -> None:
        # Side by side: the words are Python's work, the vectors are the library's, which needs no interpreter.
        making = asyncio.to_thread(_uncollected, lambda: Index(holdings.rows))
        if holdings.vectors is None:
            self._index = await making
        else:
            words, likeness = await asyncio.gather(making, asyncio.to_thread(VectorIndex, holdings.vectors))
            self._index = words.with_likeness(likeness)
        self._holdings, self._pending = holdings, {}
        self._is_shown, self._is_away = True, False
        _PASSAGES.set(len(self._index))

    # -- writing ---

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Write alone, knowing what others have written before; raise `StoreUnavailableError` when it is away."""
        async with self._writing, self._write_lock.held():
            # Who has died in its turn has told nobody what it had written by then.
            if not self._is_read or (self._write_lock.are_shared and not self._had_turn):
                await self._read()
            elif await self._write_lock.version() != self._version:
                self._version = await self._write_lock.version()
                await asyncio.to_thread(self._store.refresh)
                self._is_shown = False
            if not self._is_read:
                raise StoreUnavailableError("Milvus cannot be reached")
            self._had_turn = True
            try:
                yield
            except BaseException:
                # How far it has come, the store knows.
                self._is_read = False
                raise

    async def _put_in_force(self, write: Callable[[], None]) -> None:
        await asyncio.to_thread(write)
        await self._write_lock.announce(settled=True)
        await self._read()

    async def reembed(self) -> None:
        """Embed all passages for this process' embedder and swap them in; searches go by words until then."""
        async with self._turn():
            if not self._store.needs_vectors:
                return
            holdings = await asyncio.to_thread(self._store.holdings)
            vectors = await asyncio.to_thread(self._embedded, [row.embedded for row in holdings.rows])
            await self._put_in_force(lambda: self._store.replace_vectors(PassageSet(holdings.rows, vectors)))
        _log.info("library.embedded", passages=len(holdings.rows), embedder=self._embedder and self._embedder.name)

    # -- backups ---

    async def stock(self) -> StoreDump:
        """Read everything between two imports."""
        async with self._turn():
            return await asyncio.to_thread(self._store.stock)

    async def restore(self, backup: StoreDump, *, replace: bool) -> None:
        """Put a backup in force; searches go on in what was there until it is.

        What the fleet's own folder has brought is no reason to refuse: it comes at every start.
        """
        async with self._turn():
            live = (await asyncio.to_thread(self._store.stock)).versions
            others = sum(
                not head.is_removed and head.document.source != self._own_source for head in latest(live).values()
            )
            if others and not replace:
                raise NotEmptyError(others)
            stock = restored(backup, live)
            if stock.embedder != self._store.tag:
                vectors = await asyncio.to_thread(self._embedded, [row.embedded for row in stock.rows])
                stock = dataclasses.replace(stock, vectors=vectors, embedder=self._store.tag)
            await self._put_in_force(lambda: self._store.replace(stock))

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

    async def _question(self, query: str) -> SearchQuestion:
        question = read_question(query)
        if self._asked is None or not question.sentences:
            return question
        vectors = self._asked.kept(question.sentences)
        if vectors is None:
            try:
                vectors = await asyncio.to_thread(self._asked.embed, question.sentences)
            except EmbeddingError as error:
                _log.warning("library.no_vectors", error=str(error))
                return question
        return question.with_vectors(vectors)

    async def _found(self, question: SearchQuestion, request: SearchKnowledge, limit: int) -> Found:
        asker = Audience(
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

    async def _native(
        self, question: SearchQuestion, request: SearchKnowledge, asker: Audience, limit: int
    ) -> list[Hit] | None:
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

    async def import_articles(self, request: ImportArticles) -> ArticlesImported | Refused:
        """Store what has changed, report what cannot be read; searches go on with the old index until all is there."""
        tenant = token(request.tenant, "tenant")
        documents, problems = await asyncio.to_thread(_read, request)
        async with self._turn():
            known = await asyncio.to_thread(self._store.latest_versions, tenant)
            changed = [
                dataclasses.replace(document, rev=self._store.next_rev(tenant, id_), source=request.source)
                for id_, document in documents.items()
                if id_ not in known or known[id_].digest != document.digest
            ]
            gone: list[str] = []
            if request.prune:
                present = {*request.present, *documents}
                gone = [id_ for id_, head in known.items() if head.source == request.source and id_ not in present]
            passages = await asyncio.to_thread(self._store_all, tenant, changed)
            await asyncio.to_thread(self._store.remove, tenant, gone)
            self._pending |= {(tenant, id_): None for id_ in gone}
            await self._tell(is_changed=bool(changed or gone), settled=not request.more)
        _log.info("library.imported", documents=len(changed), passages=passages, problems=len(problems), gone=len(gone))
        return ArticlesImported(
            documents=len(documents),
            passages=passages,
            problems=problems,
            unchanged=len(documents) - len(changed),
            removed=len(gone),
            ids=list(documents),
        )

    async def _tell(self, *, is_changed: bool, settled: bool) -> None:
        """Tell the other processes what was written; when it is complete, show it here."""
        is_complete = settled and (bool(self._pending) or not self._is_shown)
        if is_complete:
            await asyncio.to_thread(self._store.flush)
        if is_changed or is_complete:
            self._version = await self._write_lock.announce(settled=settled)
        if is_complete and self._is_shown:
            await self._show(await asyncio.to_thread(self._holdings.changed, self._pending))
        elif is_complete:
            await self._read()

    def _store_all(self, tenant: str, documents: Sequence[Document]) -> int:
        """Batch by batch: what was stored when a process dies is there, and is not stored again."""
        passages = 0
        for start in range(0, len(documents), _BATCH):
            batch = documents[start : start + _BATCH]
            rows = [rows_of(document, tenant) for document in batch]
            vectors = self._embedded([row.embedded for found in rows for row in found])
            ends = np.cumsum([0, *map(len, rows)]).tolist()
            filed = [
                StagedArticle(
                    document, found, vectors[ends[number] : ends[number + 1]] if vectors is not None else None
                )
                for number, (document, found) in enumerate(zip(batch, rows, strict=True))
            ]
            self._store.put(tenant, filed)
            self._pending |= {(tenant, article.document.id): article for article in filed}
            passages += ends[-1]
        return passages

    def _embedded(self, texts: Sequence[str]) -> Vectors | None:
        return self._embedder.embed(texts) if self._embedder is not None else None


def _uncollected(work: Callable[[], R]) -> R:
    """Make very many objects, none of them in cycles: to look for those all the while takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return work()
    finally:
        if was_enabled:
            gc.enable()


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

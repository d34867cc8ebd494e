"""Search for passages: by the store's native search if it has one, else by the index of this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from trunkline_chassis.cache_metrics import count_lookup
from trunkline_chassis.logs import reason_of
from trunkline_embedding import CachedEmbedder, Embedder, EmbeddingError
from trunkline_protocols.ids import token
from trunkline_protocols.knowledge import Passage, PassagesFound, SearchKnowledge

from trunkline_rag.application.synced_index import SyncedIndex
from trunkline_rag.core.index import SearchHit
from trunkline_rag.core.question import SearchQuestion, read_question
from trunkline_rag.core.scope import SearchAudience
from trunkline_rag.ports import NativeSearch, StoreUnavailableError

_log: Final = structlog.get_logger(__name__)
_MAX_PASSAGES: Final = 50
_CANDIDATES: Final = 50


@dataclass(frozen=True, slots=True)
class _Hits:
    """Hits, and whether they are from the last index of an unavailable store."""

    hits: list[SearchHit]
    is_stale: bool


class PassageSearch:
    """Answers search requests."""

    def __init__(self, store: NativeSearch, index: SyncedIndex, embedder: Embedder | None) -> None:
        """Without an embedder, searches go by terms only."""
        self._store = store
        self._index = index
        # For questions only: they repeat. Passages do not, and would evict the questions.
        self._embedder = CachedEmbedder(embedder, on_lookup=count_lookup) if embedder is not None else None

    async def search(self, request: SearchKnowledge) -> PassagesFound:
        """Find passages, best first."""
        limit = max(1, min(request.limit, _MAX_PASSAGES))
        found = await self._find(await self._embedded_question(request.query), request, limit)
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
            stale=found.is_stale,
        )

    async def _embedded_question(self, query: str) -> SearchQuestion:
        question = read_question(query)
        if self._embedder is None or not question.sentences:
            return question
        vectors = self._embedder.cached(question.sentences)
        if vectors is None:
            try:
                vectors = await asyncio.to_thread(self._embedder.embed, question.sentences)
            except EmbeddingError as error:
                _log.warning("question.embed_failed", error=reason_of(error))
                return question
        return question.with_vectors(vectors)

    async def _find(self, question: SearchQuestion, request: SearchKnowledge, limit: int) -> _Hits:
        audience = SearchAudience(
            region=request.region,
            language=request.language,
            specialty=request.specialty,
            internal=request.internal,
            today=datetime.fromtimestamp(time.time(), UTC).date().isoformat(),
        )
        is_stale = self._index.is_stale
        if self._store.has_native_search:
            try:
                return _Hits(await self._find_natively(question, request, audience, limit), is_stale=False)
            except StoreUnavailableError as error:
                _log.warning("store.unavailable", error=str(error))
                is_stale = True
        hits = self._index.current.search(
            question, tenant=request.tenant, audience=audience, topics=request.topics, limit=limit
        )
        return _Hits(hits, is_stale)

    async def _find_natively(
        self, question: SearchQuestion, request: SearchKnowledge, audience: SearchAudience, limit: int
    ) -> list[SearchHit]:
        tenant = token(request.tenant, "tenant")
        topics = [token(topic, "topic") for topic in request.topics]
        rankings = await asyncio.to_thread(
            lambda: self._store.search(question, tenant=tenant, topics=topics, audience=audience, limit=_CANDIDATES)
        )
        return self._index.current.hits_from_ranks(rankings, question, tenant=tenant, audience=audience, limit=limit)

"""Search for passages: by the store's native search if it has one, else by the index of this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import structlog
from trunkline_chassis.cache_metrics import count_lookup
from trunkline_chassis.logs import reason_of
from trunkline_embedding import CachedEmbedder, Embedder, EmbeddingError, Vectors, unpack_vector
from trunkline_protocols.ids import token
from trunkline_protocols.knowledge import Passage, PassagesFound, SearchKnowledge

from trunkline_rag.application.message_analysis import MessageAnalyser
from trunkline_rag.application.synced_index import SyncedIndex
from trunkline_rag.core.index import SearchHit
from trunkline_rag.core.question import SearchQuestion, Vector, read_question
from trunkline_rag.core.scope import SearchAudience
from trunkline_rag.ports import NativeSearch, StoreUnavailableError

_log: Final = structlog.get_logger(__name__)
_MAX_PASSAGES: Final = 50
_CANDIDATES: Final = 50
_MIN_LENGTH: Final = 1e-9


@dataclass(frozen=True, slots=True)
class _Hits:
    """Hits, and whether they are from the last index of an unavailable store."""

    hits: list[SearchHit]
    is_stale: bool


class PassageSearch:
    """Answers search requests."""

    def __init__(
        self, store: NativeSearch, index: SyncedIndex, embedder: Embedder | None, analyser: MessageAnalyser
    ) -> None:
        """Without an embedder, searches go by terms only."""
        self._store = store
        self._index = index
        # For the sentences of long questions. Passages are not cached, since they would evict the questions.
        self._embedder = CachedEmbedder(embedder, on_lookup=count_lookup) if embedder is not None else None
        self._analyser = analyser

    async def search(self, request: SearchKnowledge) -> PassagesFound:
        """Find passages, best first."""
        limit = max(1, min(request.limit, _MAX_PASSAGES))
        found = await self._find(await self._question(request), request, limit)
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
                    sentence_scores=hit.sentence_scores,
                )
                for hit in found.hits
            ],
            stale=found.is_stale,
        )

    async def _question(self, request: SearchKnowledge) -> SearchQuestion:
        """Read the question, with vectors if there is an embedder."""
        question = read_question(self._index.correct(request.query))
        if self._embedder is None or not question.sentences:
            return question
        if question.is_long:
            return await self._with_sentence_vectors(question, self._embedder)
        vector = self._given_vector(request.vector, self._embedder.dimensions)
        earlier = read_question(self._index.correct(request.earlier)) if request.earlier else None
        texts = [question.text] if vector is None else []
        texts += [earlier.text] if earlier is not None else []
        vectors = await self._analyser.vectors(texts) if texts else None
        if texts and vectors is None:
            return question
        found = list(_first_part(vectors, self._embedder.dimensions)) if vectors is not None else []
        question = question.with_vector(vector if vector is not None else found[0])
        if earlier is not None:
            question = replace(question, earlier=earlier.with_vector(found[-1]))
        return replace(question, focus=frozenset(request.focus))

    async def _with_sentence_vectors(self, question: SearchQuestion, embedder: CachedEmbedder) -> SearchQuestion:
        vectors = embedder.cached(question.sentences)
        if vectors is None:
            try:
                vectors = await asyncio.to_thread(embedder.embed, question.sentences)
            except EmbeddingError as error:
                _log.warning("question.embed_failed", error=reason_of(error))
                return question
        return question.with_vectors(vectors)

    def _given_vector(self, packed: bytes, dimensions: int) -> Vector | None:
        """Return the sentence vector of a message vector; None without one of this model."""
        if len(packed) != self._analyser.dimensions:
            return None
        return unpack_vector(packed, dimensions)

    async def _find(self, question: SearchQuestion, request: SearchKnowledge, limit: int) -> _Hits:
        audience = SearchAudience(
            region=request.region,
            language=request.language,
            specialty=request.specialty,
            internal=request.internal,
            today=datetime.fromtimestamp(time.time(), UTC).date().isoformat(),
            excluded_topics=frozenset(request.excluded_topics),
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


def _first_part(vectors: Vectors, dimensions: int) -> Vectors:
    """Return the sentence vectors of message vectors: their first components, normalised."""
    parts = vectors[:, :dimensions]
    normalised: Vectors = parts / np.maximum(np.linalg.norm(parts, axis=1, keepdims=True), _MIN_LENGTH)
    return normalised

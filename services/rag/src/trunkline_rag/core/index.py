"""The search index of a process over all passages, rebuilt from the store.

A short question with a vector is ranked by the evidence of meaning and words (`relevance`); the best passages by
vectors and by terms (BM25) are its candidates. Without vectors, and for long questions, the ranks of all sentences are
fused.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trunkline_rag.core.bm25 import Bm25
from trunkline_rag.core.meaning import MeaningRanking
from trunkline_rag.core.passage_row import PassageRow, row_terms
from trunkline_rag.core.question import SearchQuestion
from trunkline_rag.core.relevance import MIN_EVIDENCE, TOPIC_BONUS, probability, probability_by_words
from trunkline_rag.core.scope import SearchAudience
from trunkline_rag.core.spelling import Speller
from trunkline_rag.core.vector_index import VectorIndex

ANY_CUSTOMER: Final = SearchAudience()
"""A customer of any region, language and specialty, at any time."""

RANK_CONSTANT: Final = 50
_VECTOR_WEIGHT: Final = 0.3
"""Weight of a rank by vectors relative to one by terms."""

_FURTHER_PASSAGE_DECAY: Final = 0.6
"""Factor for each further passage of a document, for long questions."""

_PASSAGES_PER_DOCUMENT: Final = 2
_PASSAGES_BY_RANK: Final = (3, 2, 1)
"""Passages of the best articles, ranked by evidence; of every further one there is one."""

_CANDIDATES: Final = 50
_CANDIDATES_BY_WORDS: Final = 20
"""Best passages by terms whose evidence is compared."""
_MIN_RELEVANCE_IN_TOPICS: Final = probability_by_words(0.34)
"""Score of the best passage inside the topics below which a search by words ignores the topics."""


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A matching passage; `score` (0 to 1) is the probability that its article answers the question."""

    row: PassageRow
    score: float
    sentence_scores: list[float] = field(default_factory=list)
    """Score of each sentence; empty if the question has no vector."""


class Index:
    """In-process hybrid index. Immutable: an import builds a new one."""

    def __init__(self, rows: Sequence[PassageRow]) -> None:
        """Index the terms of all rows; title and headings count as text of each passage."""
        self._rows = list(rows)
        self._vectors: VectorIndex | None = None
        self._meaning: MeaningRanking | None = None
        terms_by_row = [row_terms(row) for row in self._rows]
        self._bm25 = Bm25(terms_by_row)
        self._scopes = list({row.scope for row in self._rows})
        numbers = {scope: number for number, scope in enumerate(self._scopes)}
        self._scope_numbers = np.array([numbers[row.scope] for row in self._rows], dtype=np.int32)
        self._first_rows: dict[tuple[str, str], int] = {}
        for number, row in enumerate(self._rows):
            self._first_rows.setdefault((row.tenant, row.document), number)
        self._by_tenant = _masks([(row.tenant,) for row in self._rows])
        self._by_topic = _masks([row.topics for row in self._rows])

    def with_vectors(self, vectors: VectorIndex) -> Index:
        """Return a copy that also ranks by vectors; `vectors` has one per row."""
        hybrid = copy.copy(self)
        hybrid._vectors = vectors  # noqa: SLF001 - a copy of the same class
        hybrid._meaning = MeaningRanking(self._rows, vectors, self._bm25)  # noqa: SLF001
        return hybrid

    def speller(self, known: frozenset[str] = frozenset(), *, fleet: Sequence[str] = ()) -> Speller:
        """Return a speller for the words of the passages and of the fleet.

        `known` are further words that are no mistakes, but no corrections either.
        """
        return Speller(chain((row.embedding_text for row in self._rows), fleet), known)

    def __len__(self) -> int:
        """Return the number of passages."""
        return len(self._rows)

    def search(
        self,
        question: SearchQuestion,
        *,
        tenant: str,
        audience: SearchAudience = ANY_CUSTOMER,
        topics: Sequence[str] = (),
        limit: int = 5,
    ) -> list[SearchHit]:
        """Find passages of a tenant, best first; within the topics unless no passage there is relevant."""
        allowed = self._by_tenant.get(tenant)
        if allowed is None or not question.sentences:
            return []
        visible = [audience.may_see(scope) for scope in self._scopes]
        if not all(visible):
            allowed = allowed & np.array(visible, dtype=np.bool_)[self._scope_numbers]
        excluded = self._topic_mask(sorted(audience.excluded_topics))
        if excluded is not None:
            allowed = allowed & ~excluded
        in_topics = self._topic_mask(topics)
        if question.vector is not None and self._meaning is not None:
            rows = self._meaning.candidates(question, allowed)
            for words in question.terms:
                rows.update(_best(self._bm25.scores(words), allowed)[:_CANDIDATES_BY_WORDS])
            return self._hits_by_evidence(self._meaning, rows, question, in_topics, limit)
        if in_topics is not None:
            hits = self._ranked(question, allowed & in_topics, limit)
            if hits and max(hit.score for hit in hits) >= _MIN_RELEVANCE_IN_TOPICS:
                return hits
        return self._ranked(question, allowed, limit)

    def _topic_mask(self, topics: Sequence[str]) -> NDArray[np.bool_] | None:
        masks = [self._by_topic[topic] for topic in topics if topic in self._by_topic]
        return np.logical_or.reduce(masks) if masks else None

    def _hits_by_evidence(
        self,
        meaning: MeaningRanking,
        rows: Iterable[int],
        question: SearchQuestion,
        in_topics: NDArray[np.bool_] | None,
        limit: int,
    ) -> list[SearchHit]:
        """Rank candidates by their evidence; an article ranks by its best passage."""
        numbers = sorted(rows)
        if not numbers:
            return []
        weighed = meaning.weigh(question, numbers)
        ranked = weighed.evidence
        if in_topics is not None:
            ranked = ranked + np.float32(TOPIC_BONUS) * in_topics.take(numbers).astype(np.float32)
        evidence = ranked.tolist()
        by_document: dict[str, list[tuple[int, float]]] = {}
        for number in (-ranked).argsort(kind="stable").tolist():
            if evidence[number] < MIN_EVIDENCE:
                break
            by_document.setdefault(self._rows[numbers[number]].document, []).append((number, evidence[number]))
        kept = [
            passage
            for rank, passages in enumerate(by_document.values())
            for passage in passages[: _PASSAGES_BY_RANK[min(rank, len(_PASSAGES_BY_RANK) - 1)]]
        ]
        return [
            SearchHit(self._rows[numbers[number]], probability(found), weighed.sentence_scores(number, found))
            for number, found in kept[:limit]
        ]

    def _ranked(self, question: SearchQuestion, allowed: NDArray[np.bool_], limit: int) -> list[SearchHit]:
        """Fuse the term and vector ranks of every sentence; a document ranks by its best passages."""
        rankings = [(1.0, _best(self._bm25.scores(words), allowed)) for words in question.terms]
        if question.vectors is not None and self._vectors is not None:
            nearest = self._vectors.nearest(question.vectors, allowed, _CANDIDATES)
            rankings += [(_VECTOR_WEIGHT, ranked) for ranked in nearest]
        return self._hits(rankings, question, limit)

    def _hits(
        self, rankings: Sequence[tuple[float, list[int]]], question: SearchQuestion, limit: int
    ) -> list[SearchHit]:
        rows = self._fused(rankings, decay=_FURTHER_PASSAGE_DECAY if question.is_long else 0.0)
        coverages = self._bm25.coverages(question.all_terms)
        return [SearchHit(self._rows[row], probability_by_words(float(coverages[row]))) for row in rows[:limit]]

    def hits_from_ranks(
        self,
        rankings: Sequence[Sequence[tuple[str, int]]],
        question: SearchQuestion,
        *,
        tenant: str,
        audience: SearchAudience,
        limit: int,
    ) -> list[SearchHit]:
        """Convert the store's own rankings, one per sentence, of (document, position in it) into hits."""
        lists = [
            (
                1.0,
                [
                    row
                    for document, position in ranked
                    if (row := self._row_at(tenant, document, position)) is not None
                    and audience.may_see(self._rows[row].scope)
                    and audience.excluded_topics.isdisjoint(self._rows[row].topics)
                ],
            )
            for ranked in rankings
        ]
        if question.vector is not None and self._meaning is not None:
            rows = {row for _, ranked in lists for row in ranked}
            return self._hits_by_evidence(self._meaning, rows, question, None, limit)
        return self._hits(lists, question, limit)

    def _row_at(self, tenant: str, document: str, position: int) -> int | None:
        first = self._first_rows.get((tenant, document))
        row = first + position if first is not None else len(self._rows)
        return row if row < len(self._rows) and self._rows[row].document == document else None

    def _fused(self, rankings: Sequence[tuple[float, list[int]]], *, decay: float) -> list[int]:
        """Return rows in the order of their documents, best first, at most two per document."""
        fused: defaultdict[int, float] = defaultdict(float)
        for weight, ranked in rankings:
            for rank, row in enumerate(ranked):
                fused[row] += weight / (RANK_CONSTANT + rank)
        by_document: defaultdict[str, list[int]] = defaultdict(list)
        for row in sorted(fused, key=lambda row: (-fused[row], row)):
            by_document[self._rows[row].document].append(row)

        def document_score(rows: list[int]) -> float:
            return sum(fused[row] * decay**number for number, row in enumerate(rows))

        documents = sorted(by_document.values(), key=document_score, reverse=True)
        return [row for rows in documents for row in rows[:_PASSAGES_PER_DOCUMENT]]


def _best(scores: NDArray[np.float32], allowed: NDArray[np.bool_]) -> list[int]:
    candidates = (allowed & (scores > 0)).nonzero()[0]
    found = scores[candidates]
    if len(candidates) > _CANDIDATES:
        kept = (-found).argpartition(_CANDIDATES - 1)[:_CANDIDATES]
        candidates, found = candidates[kept], found[kept]
    order = np.lexsort((candidates, -found))
    best: list[int] = candidates[order].tolist()
    return best


def _masks(labels: Sequence[Sequence[str]]) -> dict[str, NDArray[np.bool_]]:
    masks: dict[str, NDArray[np.bool_]] = {}
    for row, names in enumerate(labels):
        for name in names:
            masks.setdefault(name, np.zeros(len(labels), dtype=np.bool_))[row] = True
    return masks

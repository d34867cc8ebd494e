"""The read index: words (BM25) and meaning (vectors) over the passages, in process, made anew from the store's rows."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from trunkline_language.terms import terms

from trunkline_rag.core.bm25 import Bm25
from trunkline_rag.core.question import SearchQuestion
from trunkline_rag.core.scope import EVERYBODY, Audience, Scope
from trunkline_rag.core.vector_index import VectorIndex

ANYBODY: Final = Audience()
"""Asks from nowhere in particular, at no particular time, as a customer."""

RANK_CONSTANT: Final = 50
_VECTOR_WEIGHT: Final = 0.3
"""What a rank by meaning counts beside one by words."""

_TITLE_WEIGHT: Final = 2
_NEXT_PASSAGE: Final = 0.6
"""What each further passage of a document adds to it for a long question, of what the one before has added."""

_LONG: Final = 3
"""From so many sentences on a question is a story: it asks for the article that most of it is about. A shorter one asks
for the passage that says it, and further passages of an article count nothing."""

_PASSAGES_PER_DOCUMENT: Final = 2
_CANDIDATES: Final = 50
_RELEVANT: Final = 0.34
"""Part of a query's weight that a passage inside the topics must cover, else the search goes beyond them."""


@dataclass(frozen=True, slots=True)
class Row:
    """A passage as it is stored."""

    document: str
    tenant: str
    title: str
    topics: tuple[str, ...]
    headings: str
    text: str
    scope: Scope = EVERYBODY
    rev: int = 0

    def same_document(self, other: Row) -> bool:
        """Tell whether both are passages of one article."""
        return (self.tenant, self.document) == (other.tenant, other.document)

    @property
    def embedded(self) -> str:
        """What stands for the passage when it is embedded."""
        return "\n".join(part for part in (self.title, self.headings, self.text) if part)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found; `score` is the part (0 to 1) of the query's term weight that it covers."""

    row: Row
    score: float


class Index:
    """Answers queries. Immutable: an import makes a new one."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Weigh the terms of all rows; title and headings count as text of each passage."""
        self._rows = list(rows)
        self._likeness: VectorIndex | None = None
        of_rows = [row_terms(row) for row in self._rows]
        self._terms = [frozenset(found) for found in of_rows]
        self._words = Bm25(of_rows)
        self._scopes = list({row.scope for row in self._rows})
        numbers = {scope: number for number, scope in enumerate(self._scopes)}
        self._scope_of = np.array([numbers[row.scope] for row in self._rows], dtype=np.int32)
        self._first: dict[tuple[str, str], int] = {}
        for number, row in enumerate(self._rows):
            self._first.setdefault((row.tenant, row.document), number)
        self._by_tenant = _masks([(row.tenant,) for row in self._rows])
        self._by_topic = _masks([row.topics for row in self._rows])

    def with_likeness(self, likeness: VectorIndex) -> Index:
        """Return the same index, which searches by vectors as well: a row each."""
        both = copy.copy(self)
        both._likeness = likeness  # noqa: SLF001 - a copy of our own
        return both

    def __len__(self) -> int:
        """How many passages it holds."""
        return len(self._rows)

    def search(
        self,
        question: SearchQuestion,
        *,
        tenant: str,
        asker: Audience = ANYBODY,
        topics: Sequence[str] = (),
        limit: int = 5,
    ) -> list[Hit]:
        """Find passages of a tenant, best first; those with one of the topics, unless nothing there is relevant."""
        allowed = self._by_tenant.get(tenant)
        if allowed is None or not question.sentences:
            return []
        visible = np.array([asker.may_see(scope) for scope in self._scopes], dtype=np.bool_)
        if not visible.all():
            allowed = allowed & visible[self._scope_of]
        inside = self._inside(topics)
        if inside is not None:
            hits = self._ranked(question, allowed & inside, limit)
            if hits and max(hit.score for hit in hits) >= _RELEVANT:
                return hits
        return self._ranked(question, allowed, limit)

    def _inside(self, topics: Sequence[str]) -> NDArray[np.bool_] | None:
        masks = [self._by_topic[topic] for topic in topics if topic in self._by_topic]
        return np.logical_or.reduce(masks) if masks else None

    def _ranked(self, question: SearchQuestion, allowed: NDArray[np.bool_], limit: int) -> list[Hit]:
        """Fuse every sentence's ranks by words and by meaning; a document is worth what its best passages are."""
        lists = [(1.0, _best(self._words.scores(words), allowed)) for words in question.terms]
        if question.vectors is not None and self._likeness is not None:
            nearest = self._likeness.nearest(question.vectors, allowed, _CANDIDATES)
            lists += [(_VECTOR_WEIGHT, ranked) for ranked in nearest]
        return self._hits(lists, question, limit)

    def _hits(self, lists: Sequence[tuple[float, list[int]]], question: SearchQuestion, limit: int) -> list[Hit]:
        everything = {term for words in question.terms for term in words}
        rows = self._fused(lists, further=_NEXT_PASSAGE if len(question.sentences) >= _LONG else 0.0)
        return [Hit(self._rows[row], self._coverage(everything, row)) for row in rows[:limit]]

    def by_ranks(
        self,
        rankings: Sequence[Sequence[tuple[str, int]]],
        question: SearchQuestion,
        *,
        tenant: str,
        asker: Audience,
        limit: int,
    ) -> list[Hit]:
        """Turn rankings of (document, place in it), one a sentence, as the store itself has found them, into hits."""
        lists = [
            (
                1.0,
                [
                    row
                    for document, place in ranked
                    if (row := self._row_at(tenant, document, place)) is not None
                    and asker.may_see(self._rows[row].scope)
                ],
            )
            for ranked in rankings
        ]
        return self._hits(lists, question, limit)

    def _row_at(self, tenant: str, document: str, place: int) -> int | None:
        first = self._first.get((tenant, document))
        row = first + place if first is not None else len(self._rows)
        return row if row < len(self._rows) and self._rows[row].document == document else None

    def _fused(self, lists: Sequence[tuple[float, list[int]]], *, further: float) -> list[int]:
        """Rows in the order of their documents, best first, at most two of each."""
        fused: defaultdict[int, float] = defaultdict(float)
        for weight, ranked in lists:
            for rank, row in enumerate(ranked):
                fused[row] += weight / (RANK_CONSTANT + rank)
        of_document: defaultdict[str, list[int]] = defaultdict(list)
        for row in sorted(fused, key=lambda row: (-fused[row], row)):
            of_document[self._rows[row].document].append(row)

        def worth(rows: list[int]) -> float:
            return sum(fused[row] * further**place for place, row in enumerate(rows))

        documents = sorted(of_document.values(), key=worth, reverse=True)
        return [row for rows in documents for row in rows[:_PASSAGES_PER_DOCUMENT]]

    def _coverage(self, query_terms: set[str], row: int) -> float:
        """A term that no article has is as rare as can be: a query about something else stays uncovered."""
        rarity = {term: self._words.rarity(term) for term in query_terms}
        total = sum(rarity.values())
        covered = sum(weight for term, weight in rarity.items() if term in self._terms[row])
        return covered / total if total else 0.0


def _best(scores: NDArray[np.float32], allowed: NDArray[np.bool_]) -> list[int]:
    candidates = np.nonzero(allowed & (scores > 0))[0]
    found = scores[candidates]
    if len(candidates) > _CANDIDATES:
        kept = np.argpartition(-found, _CANDIDATES - 1)[:_CANDIDATES]
        candidates, found = candidates[kept], found[kept]
    order = np.lexsort((candidates, -found))
    best: list[int] = candidates[order].tolist()
    return best


def row_terms(row: Row) -> list[str]:
    """Terms of a passage; those of its title count twice."""
    return terms(row.text) + terms(row.headings) + terms(row.title) * _TITLE_WEIGHT


def _masks(labels: Sequence[Sequence[str]]) -> dict[str, NDArray[np.bool_]]:
    masks: dict[str, NDArray[np.bool_]] = {}
    for row, names in enumerate(labels):
        for name in names:
            masks.setdefault(name, np.zeros(len(labels), dtype=np.bool_))[row] = True
    return masks

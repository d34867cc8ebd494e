"""The read index: words (BM25) and meaning (vectors) over the passages, in process, made anew from the store's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from trunkline_language.terms import terms

from trunkline_rag.core.bm25 import Bm25
from trunkline_rag.core.question import Question, Vectors

_RANK_CONSTANT: Final = 40
_VECTOR_WEIGHT: Final = 0.4
"""What a rank by meaning counts beside one by words."""

_TITLE_WEIGHT: Final = 2
_NEXT_PASSAGE: Final = 0.5
"""What each further passage of a document counts, of the one before, for the same sentence of a long question."""

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

    def __init__(self, rows: Sequence[Row], vectors: Vectors | None = None) -> None:
        """Weigh the terms of all rows; title and headings count as text of each passage. `vectors` has a row each."""
        self._rows = list(rows)
        self._vectors = vectors
        of_rows = [_row_terms(row) for row in self._rows]
        self._terms = [frozenset(found) for found in of_rows]
        self._words = Bm25(of_rows)
        self._by_tenant = _masks([(row.tenant,) for row in self._rows])
        self._by_topic = _masks([row.topics for row in self._rows])

    def __len__(self) -> int:
        """How many passages it holds."""
        return len(self._rows)

    def search(self, question: Question, *, tenant: str, topics: Sequence[str] = (), limit: int = 5) -> list[Hit]:
        """Find passages of a tenant, best first; those with one of the topics, unless nothing there is relevant."""
        allowed = self._by_tenant.get(tenant)
        if allowed is None or not question.sentences:
            return []
        inside = self._inside(topics)
        if inside is not None:
            hits = self._ranked(question, allowed & inside, limit)
            if hits and max(hit.score for hit in hits) >= _RELEVANT:
                return hits
        return self._ranked(question, allowed, limit)

    def _inside(self, topics: Sequence[str]) -> NDArray[np.bool_] | None:
        masks = [self._by_topic[topic] for topic in topics if topic in self._by_topic]
        return np.logical_or.reduce(masks) if masks else None

    def _ranked(self, question: Question, allowed: NDArray[np.bool_], limit: int) -> list[Hit]:
        """Fuse every sentence's ranks by words and by meaning; a document is worth what its best passages are."""
        lists = [(1.0, _best(self._words.scores(words), allowed, above=0.0)) for words in question.terms]
        if question.vectors is not None and self._vectors is not None:
            likenesses = question.vectors @ self._vectors.T
            lists += [(_VECTOR_WEIGHT, _best(likeness, allowed, above=-np.inf)) for likeness in likenesses]
        everything = {term for words in question.terms for term in words}
        rows = self._fused(lists, further=_NEXT_PASSAGE if len(question.sentences) >= _LONG else 0.0)
        return [Hit(self._rows[row], self._coverage(everything, row)) for row in rows[:limit]]

    def _fused(self, lists: Sequence[tuple[float, list[int]]], *, further: float) -> list[int]:
        """Rows in the order of their documents, best first, at most two of each."""
        of_rows: defaultdict[int, float] = defaultdict(float)
        of_documents: defaultdict[str, float] = defaultdict(float)
        for weight, ranked in lists:
            seen: defaultdict[str, float] = defaultdict(lambda: 1.0)
            for rank, row in enumerate(ranked):
                document = self._rows[row].document
                worth = weight / (_RANK_CONSTANT + rank)
                of_rows[row] += worth
                of_documents[document] += worth * seen[document]
                seen[document] *= further
        passages: defaultdict[str, list[int]] = defaultdict(list)
        for row in sorted(of_rows, key=lambda row: (-of_rows[row], row)):
            passages[self._rows[row].document].append(row)
        documents = sorted(passages, key=lambda document: -of_documents[document])
        return [row for document in documents for row in passages[document][:_PASSAGES_PER_DOCUMENT]]

    def _coverage(self, query_terms: set[str], row: int) -> float:
        """A term that no article has is as rare as can be: a query about something else stays uncovered."""
        rarity = {term: self._words.rarity(term) for term in query_terms}
        total = sum(rarity.values())
        covered = sum(weight for term, weight in rarity.items() if term in self._terms[row])
        return covered / total if total else 0.0


def _best(scores: NDArray[np.float32], allowed: NDArray[np.bool_], *, above: float) -> list[int]:
    candidates = np.nonzero(allowed & (scores > above))[0]
    found = scores[candidates]
    if len(candidates) > _CANDIDATES:
        kept = np.argpartition(-found, _CANDIDATES - 1)[:_CANDIDATES]
        candidates, found = candidates[kept], found[kept]
    order = np.lexsort((candidates, -found))
    best: list[int] = candidates[order].tolist()
    return best


def _row_terms(row: Row) -> list[str]:
    return terms(row.text) + terms(row.headings) + terms(row.title) * _TITLE_WEIGHT


def _masks(labels: Sequence[Sequence[str]]) -> dict[str, NDArray[np.bool_]]:
    masks: dict[str, NDArray[np.bool_]] = {}
    for row, names in enumerate(labels):
        for name in names:
            masks.setdefault(name, np.zeros(len(labels), dtype=np.bool_))[row] = True
    return masks

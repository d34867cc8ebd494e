"""The read index: BM25 over the passages' terms, in process, made anew from the store's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix
from sentencex import segment
from trunkline_language.terms import terms

_K1: Final = 1.2
_B: Final = 0.75
_RANK_CONSTANT: Final = 60
_TITLE_WEIGHT: Final = 2
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
        counted = [Counter(_row_terms(row)) for row in self._rows]
        vocabulary = sorted({term for counter in counted for term in counter})
        self._columns = {term: column for column, term in enumerate(vocabulary)}
        self._idf = _inverse_document_frequency(counted, self._columns)
        self._weights = _bm25(counted, self._columns, self._idf)
        self._by_tenant = _masks([(row.tenant,) for row in self._rows])
        self._by_topic = _masks([row.topics for row in self._rows])

    def __len__(self) -> int:
        """How many passages it holds."""
        return len(self._rows)

    def search(self, query: str, *, tenant: str, topics: Sequence[str] = (), limit: int = 5) -> list[Hit]:
        """Find passages of a tenant, best first; those with one of the topics, unless nothing there is relevant."""
        allowed = self._by_tenant.get(tenant)
        if allowed is None:
            return []
        inside = self._inside(topics)
        if inside is not None:
            hits = self._ranked(query, allowed & inside, limit)
            if hits and max(hit.score for hit in hits) >= _RELEVANT:
                return hits
        return self._ranked(query, allowed, limit)

    def _inside(self, topics: Sequence[str]) -> NDArray[np.bool_] | None:
        masks = [self._by_topic[topic] for topic in topics if topic in self._by_topic]
        return np.logical_or.reduce(masks) if masks else None

    def _ranked(self, query: str, allowed: NDArray[np.bool_], limit: int) -> list[Hit]:
        """One query a sentence, fused by rank: long stories are about several things."""
        parts = [part for sentence in segment("en", query) if (part := terms(sentence))]
        fused: Counter[int] = Counter()
        for part in parts:
            for rank, row in enumerate(self._best(part, allowed)):
                fused[row] += 1 / (_RANK_CONSTANT + rank)  # type: ignore[assignment]
        everything = {term for part in parts for term in part}
        taken: Counter[str] = Counter()
        hits: list[Hit] = []
        for row, _ in fused.most_common():
            found = self._rows[row]
            if taken[found.document] < _PASSAGES_PER_DOCUMENT:
                taken[found.document] += 1
                hits.append(Hit(found, self._coverage(everything, found)))
            if len(hits) == limit:
                break
        return hits

    def _best(self, query_terms: Sequence[str], allowed: NDArray[np.bool_]) -> list[int]:
        columns = [self._columns[term] for term in set(query_terms) if term in self._columns]
        if not columns:
            return []
        scores = np.asarray(self._weights[:, columns].sum(axis=1)).ravel()
        scores[~allowed] = 0.0
        count = min(_CANDIDATES, int(np.count_nonzero(scores)))
        best = np.argpartition(-scores, count - 1)[:count] if count else np.empty(0, dtype=np.intp)
        return sorted(best.tolist(), key=lambda row: (-scores[row], row))

    def _coverage(self, query_terms: set[str], row: Row) -> float:
        known = {term: self._idf[self._columns[term]] for term in query_terms if term in self._columns}
        # A term that no article has is as rare as can be: a query about something else stays uncovered.
        unknown = (len(query_terms) - len(known)) * float(self._idf.max(initial=0.0))
        total = sum(known.values()) + unknown
        covered = sum(weight for term, weight in known.items() if term in set(_row_terms(row)))
        return float(covered / total) if total else 0.0


def _row_terms(row: Row) -> list[str]:
    return terms(row.text) + terms(row.headings) + terms(row.title) * _TITLE_WEIGHT


def _inverse_document_frequency(counted: Sequence[Counter[str]], columns: dict[str, int]) -> NDArray[np.float64]:
    seen = np.zeros(len(columns))
    for counter in counted:
        for term in counter:
            seen[columns[term]] += 1
    weights: NDArray[np.float64] = np.log(1 + (len(counted) - seen + 0.5) / (seen + 0.5))
    return weights


def _bm25(counted: Sequence[Counter[str]], columns: dict[str, int], idf: NDArray[np.float64]) -> csc_matrix:
    lengths = np.array([counter.total() for counter in counted], dtype=np.float64)
    average = lengths.mean() if len(lengths) else 1.0
    values: list[float] = []
    row_numbers: list[int] = []
    column_numbers: list[int] = []
    for row, counter in enumerate(counted):
        norm = _K1 * (1 - _B + _B * lengths[row] / average)
        for term, count in counter.items():
            column = columns[term]
            values.append(idf[column] * count * (_K1 + 1) / (count + norm))
            row_numbers.append(row)
            column_numbers.append(column)
    return csc_matrix((values, (row_numbers, column_numbers)), shape=(len(counted), len(columns)))


def _masks(labels: Sequence[Sequence[str]]) -> dict[str, NDArray[np.bool_]]:
    masks: dict[str, NDArray[np.bool_]] = {}
    for row, names in enumerate(labels):
        for name in names:
            masks.setdefault(name, np.zeros(len(labels), dtype=np.bool_))[row] = True
    return masks

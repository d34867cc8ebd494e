"""BM25 ranking: scores rows by the terms they share with a query, weighted by the rarity of each term."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

_K1: Final = 1.2
_B: Final = 0.75


class Bm25:
    """Inverted index with precomputed weights. Immutable."""

    def __init__(self, rows: Sequence[Sequence[str]]) -> None:
        """Index the terms of all rows."""
        columns: dict[str, int] = {}
        term_columns = [columns.setdefault(term, len(columns)) for row in rows for term in row]
        lengths = np.array([len(row) for row in rows], dtype=np.float32)
        numbers = np.repeat(np.arange(len(rows), dtype=np.int32), lengths.astype(np.intp))
        # Column-wise: a query touches only the rows that contain its terms. Duplicate entries are summed.
        postings = csc_matrix(
            (np.ones(len(term_columns), np.float32), (numbers, term_columns)), shape=(len(rows), len(columns))
        )
        document_counts = np.diff(postings.indptr)
        self._columns = columns
        self._size = len(rows)
        rarity = np.log(1 + (len(rows) - document_counts + 0.5) / (document_counts + 0.5)).astype(np.float32)
        average = float(lengths.mean()) if len(lengths) else 1.0
        norms = _K1 * (1 - _B + _B * lengths / max(average, 1e-9))
        self._numbers, counts = postings.indices, postings.data
        self._weights = np.repeat(rarity, document_counts) * counts * (_K1 + 1) / (counts + norms[self._numbers])
        # Lists, since a single element of an array takes several times as long to read.
        self._starts: list[int] = postings.indptr.tolist()
        self._rarity: list[float] = rarity.tolist()
        self._max_rarity = max(self._rarity, default=0.0)

    def scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Score every row for the terms of one sentence."""
        scores = np.zeros(self._size, dtype=np.float32)
        for column in {self._columns[term] for term in terms if term in self._columns}:
            start, end = self._starts[column], self._starts[column + 1]
            scores[self._numbers[start:end]] += self._weights[start:end]
        return scores

    def coverages(self, terms: Collection[str]) -> NDArray[np.float32]:
        """Return the share (0 to 1) of the weight of different terms that each row covers.

        Unknown terms count as the rarest and stay uncovered.
        """
        covered = np.zeros(self._size, dtype=np.float32)
        total = 0.0
        for term in terms:
            total += self.rarity(term)
            column = self._columns.get(term)
            if column is not None:
                covered[self._numbers[self._starts[column] : self._starts[column + 1]]] += self._rarity[column]
        return covered / np.float32(total) if total else covered

    def rarity(self, term: str) -> float:
        """Return the inverse document frequency of a term; an unknown term is as rare as the rarest known one."""
        column = self._columns.get(term)
        return self._max_rarity if column is None else self._rarity[column]

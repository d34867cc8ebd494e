"""BM25 over terms: which rows say the words of a query, by how rare the words are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

_K1: Final = 1.2
_B: Final = 0.75


class Bm25:
    """Postings by term, weighed once."""

    def __init__(self, rows: Sequence[Sequence[str]]) -> None:
        """Weigh the terms of all rows."""
        counted = [Counter(row) for row in rows]
        columns: dict[str, int] = {}
        for counter in counted:
            for term in counter:
                columns.setdefault(term, len(columns))
        self._columns = columns
        self._size = len(rows)
        places = np.array([columns[term] for counter in counted for term in counter], dtype=np.int32)
        counts = np.array([count for counter in counted for count in counter.values()], dtype=np.float32)
        seen = np.bincount(places, minlength=len(columns))
        self._rarity = np.log(1 + (len(rows) - seen + 0.5) / (seen + 0.5)).astype(np.float32)
        lengths = np.array([counter.total() for counter in counted], dtype=np.float32)
        average = float(lengths.mean()) if len(lengths) else 1.0
        numbers = np.repeat(np.arange(len(rows), dtype=np.int32), [len(counter) for counter in counted])
        norms = _K1 * (1 - _B + _B * lengths[numbers] / max(average, 1e-9))
        weights = self._rarity[places] * counts * (_K1 + 1) / (counts + norms)
        # By term: a query touches the rows of its own words and no others.
        postings = csc_matrix((weights, (numbers, places)), shape=(len(rows), len(columns)), dtype=np.float32)
        self._starts, self._numbers, self._weights = postings.indptr, postings.indices, postings.data
        self._rarest = float(self._rarity.max(initial=0.0))

    def scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Score every row for the terms of one sentence."""
        scores = np.zeros(self._size, dtype=np.float32)
        for column in {self._columns[term] for term in terms if term in self._columns}:
            start, end = self._starts[column], self._starts[column + 1]
            scores[self._numbers[start:end]] += self._weights[start:end]
        return scores

    def rarity(self, term: str) -> float:
        """How rare a term is; what no row has is as rare as can be."""
        column = self._columns.get(term)
        return self._rarest if column is None else float(self._rarity[column])

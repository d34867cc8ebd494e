"""Similarity of a question to the sentences of passages, from the vectors that are stored beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_SENTENCES: Final = 32
"""Number of sentences of a passage that are embedded; a passage of 600 characters has hardly ever more than ten."""

_MIN_LENGTH: Final = 1e-9


class SentenceIndex:
    """Vectors of all sentences, one int8 per component. Immutable."""

    def __init__(self, packed: Sequence[bytes], dimensions: int) -> None:
        """Take the concatenated packed vectors of each row's sentences, in the order of the rows."""
        counts = [len(row) // dimensions for row in packed]
        self._counts = np.array(counts, dtype=np.intp)
        self._starts = np.cumsum([0, *counts])[:-1]
        joined = b"".join(row[: count * dimensions] for row, count in zip(packed, counts, strict=True))
        self._vectors = np.frombuffer(joined, dtype=np.int8).reshape(-1, dimensions)
        squares = np.einsum("ij,ij->i", self._vectors, self._vectors, dtype=np.int64)
        self._inverse_lengths = (1 / np.maximum(np.sqrt(squares), _MIN_LENGTH)).astype(np.float32)

    def similarities(self, rows: NDArray[np.intp], vectors: NDArray[np.float32]) -> SentenceSimilarities:
        """Return the cosine similarities of normalised vectors, one per row of `vectors`, to the sentences of rows."""
        counts = self._counts.take(rows)
        ends = counts.cumsum()
        starts = ends - counts
        # The numbers of all sentences of the rows, one after another.
        sentences = np.arange(counts.sum()) + (self._starts.take(rows) - starts).repeat(counts)
        products = self._vectors.take(sentences, axis=0).astype(np.float32) @ vectors.T
        return SentenceSimilarities(products * self._inverse_lengths.take(sentences)[:, np.newaxis], starts, ends)


@dataclass(frozen=True, slots=True)
class SentenceSimilarities:
    """Similarities of the sentences of some rows, one after another, to some vectors."""

    values: NDArray[np.float32]
    """A row per sentence, a column per vector."""
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    """Place of the first sentence of each row, and of the first one behind it."""

    def best(self, otherwise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the highest similarity of each row to each vector; `otherwise` has those of rows without sentences."""
        filled = self.ends > self.starts
        if filled.all():
            best: NDArray[np.float32] = np.maximum.reduceat(self.values, self.starts, axis=0)
            return best
        found = otherwise.copy()
        if filled.any():
            found[filled] = np.maximum.reduceat(self.values, self.starts[filled], axis=0)
        return found

    def of_row(self, number: int) -> NDArray[np.float32]:
        """Return the similarities of the sentences of one row, by its place among the rows."""
        return self.values[self.starts[number] : self.ends[number]]

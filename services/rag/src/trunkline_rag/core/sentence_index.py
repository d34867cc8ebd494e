"""Similarity of a question to the sentences of passages, from the vectors that are stored beside them."""

from __future__ import annotations

from collections.abc import Sequence
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
        self._starts = np.cumsum([0, *counts])
        joined = b"".join(row[: count * dimensions] for row, count in zip(packed, counts, strict=True))
        self._vectors = np.frombuffer(joined, dtype=np.int8).reshape(-1, dimensions)
        squares = np.einsum("ij,ij->i", self._vectors, self._vectors, dtype=np.int64)
        self._inverse_lengths = (1 / np.maximum(np.sqrt(squares), _MIN_LENGTH)).astype(np.float32)

    def similarities(self, row: int, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosine similarity of a normalised vector to each sentence of a row."""
        return self._similarities(slice(self._starts[row], self._starts[row + 1]), vector)

    def best(self, rows: NDArray[np.intp], vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the similarity of a normalised vector to the nearest sentence of each row; NaN without sentences."""
        starts, ends = self._starts[rows], self._starts[rows + 1]
        found = np.full(len(rows), np.nan, dtype=np.float32)
        filled = np.nonzero(ends > starts)[0]
        if len(filled):
            lengths = (ends - starts)[filled]
            offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
            # The numbers of all sentences of the rows, one after another.
            numbers = np.arange(lengths.sum()) + np.repeat(starts[filled] - offsets, lengths)
            found[filled] = np.maximum.reduceat(self._similarities(numbers, vector), offsets)
        return found

    def _similarities(self, sentences: slice | NDArray[np.intp], vector: NDArray[np.float32]) -> NDArray[np.float32]:
        products = self._vectors[sentences].astype(np.float32) @ vector
        similarities: NDArray[np.float32] = products * self._inverse_lengths[sentences]
        return similarities

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

    def similarities(self, rows: Sequence[int], vector: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the cosine similarity of a normalised vector to each sentence, by row."""
        spans = [(int(self._starts[row]), int(self._starts[row + 1])) for row in rows]
        numbers = np.concatenate([np.arange(start, end) for start, end in spans]) if spans else np.empty(0, np.intp)
        sentences = self._vectors[numbers].astype(np.float32)
        lengths = np.maximum(np.sqrt(np.einsum("ij,ij->i", sentences, sentences)), _MIN_LENGTH)
        found = (sentences @ vector) / lengths
        lasts = np.cumsum([end - start for start, end in spans])[:-1]
        return np.split(found, lasts) if spans else []

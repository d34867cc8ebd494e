"""A linear classifier learnt from a few hundred examples in a fraction of a second.

A least-squares support vector machine in its dual form: one linear system over the examples, one weight vector a
class. As accurate on small sets as the usual hinge loss, without a training library in every process.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline_agents.core.features import DIMENSIONS, counts


class Classifier:
    """Scores a text for every class: about +1 for the right one, about -1 for the others."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str], *, regularisation: float = 0.3) -> None:
        """Learn from labelled texts."""
        self.classes = sorted(set(labels))
        rows = [counts(text) for text in texts]
        self._idf = _inverse_document_frequency(rows)
        matrix = np.zeros((len(rows), DIMENSIONS), dtype=np.float32)
        for row, (dimensions, values) in enumerate(rows):
            matrix[row, dimensions] = self._weighted(dimensions, values)
        targets = np.where(np.array(labels)[:, None] == np.array(self.classes)[None, :], 1.0, -1.0)
        kernel = matrix @ matrix.T + regularisation * np.eye(len(rows))
        self._bias = targets.mean(axis=0)
        dual = np.linalg.solve(kernel, targets - self._bias)
        self._weights: NDArray[np.float32] = (matrix.T @ dual).astype(np.float32)

    def scores(self, text: str) -> dict[str, float]:
        """Score a text."""
        dimensions, values = counts(text)
        if not len(dimensions):
            return dict(zip(self.classes, self._bias.tolist(), strict=True))
        raw = self._weighted(dimensions, values).astype(np.float32) @ self._weights[dimensions] + self._bias
        return dict(zip(self.classes, raw.tolist(), strict=True))

    def _weighted(self, dimensions: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
        weighted = values * self._idf[dimensions]
        length = float(np.linalg.norm(weighted))
        return weighted / length if length else weighted


def _inverse_document_frequency(
    rows: Sequence[tuple[NDArray[np.intp], NDArray[np.float64]]],
) -> NDArray[np.float64]:
    seen = np.zeros(DIMENSIONS)
    for dimensions, _ in rows:
        seen[dimensions] += 1
    return np.log((1 + len(rows)) / (1 + seen)) + 1

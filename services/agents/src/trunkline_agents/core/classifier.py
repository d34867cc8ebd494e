"""A linear classifier over n-grams and, where there is an embedder, over the text's vector: what training has left.

Both parts add up to one score a class, about the distance to the class' border: above 0 means "one of mine". The best
score tells how far the text lies inside anything that was learnt, so a low one is the sign of a question about
something else.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline_agents.core.features import balanced, counts

VECTOR_SHARE: Final = 0.4
"""How much the vector's part counts beside the n-grams'; a log-odds is that much longer than a margin."""


class LinearPart(msgspec.Struct, frozen=True):
    """Weights by dimension and class, and one bias a class."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


class Classifier:
    """Scores a text for every class. Immutable: training makes a new one (`training.learn`)."""

    def __init__(
        self,
        classes: list[str],
        dimensions: NDArray[np.int32],
        rarity: NDArray[np.float32],
        ngrams: LinearPart,
        vector: LinearPart | None = None,
    ) -> None:
        """`dimensions` are those that training has seen, ascending; `rarity` is their inverse document frequency."""
        self.classes = classes
        self.dimensions = dimensions
        self.rarity = rarity
        self.ngrams = ngrams
        self.vector = vector

    def scores(self, text: str, embedding: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Score a text, in the order of `classes`; without its vector by n-grams alone."""
        dimensions, values = counts(text)
        places = np.searchsorted(self.dimensions, dimensions)
        places[places == len(self.dimensions)] = 0
        known = self.dimensions[places] == dimensions
        dimensions, values, places = dimensions[known], values[known], places[known]
        weighted = balanced(dimensions, values * self.rarity[places])
        scores: NDArray[np.float32] = weighted @ self.ngrams.weights[places] + self.ngrams.bias
        if self.vector is not None and embedding is not None:
            scores = scores + VECTOR_SHARE * (embedding @ self.vector.weights + self.vector.bias)
        return scores

    def ranked(self, text: str, embedding: NDArray[np.float32] | None = None) -> list[tuple[str, float]]:
        """Classes with their scores, best first."""
        scores = self.scores(text, embedding)
        order = np.argsort(-scores, kind="stable")
        return [(self.classes[place], float(scores[place])) for place in order]

"""Linear text classifier over n-grams and, if an embedder is configured, the text's embedding: the result of training.

A class score is the sum of: its linear score by n-grams; its linear score by embedding; if it improves accuracy, the
cosine similarity to the nearest training example of the class; and the coverage of the class, i.e. the IDF-weighted
share of the message's n-grams that occur in the class' examples. Coverage also feeds the in-scope score: a question out
of scope lies on one side of every decision boundary because of the few words it shares, but most of its n-grams are
unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline_agents.core.routing.features import BLOCK_SIZE, hashed_counts, message_character_mask, normalize_blocks

EMBEDDING_WEIGHT: Final = 0.6
"""Weight of the embedding's linear score relative to the n-grams': a log-odds is larger than a margin by that ratio."""

_MAX_NEIGHBOUR_CLASSES: Final = 10
"""Top classes whose examples are compared: all of them would be megabytes to read per message."""

COVERAGE_WEIGHT: Final = 0.5
"""Weight of coverage in a class score."""

SCOPE_COVERAGE_WEIGHT: Final = 2.5
"""Additional weight of the best class' coverage in the in-scope score."""


class LinearModel(msgspec.Struct, frozen=True):
    """Weights by dimension and class, and one bias per class."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


class ExampleIndex(msgspec.Struct, frozen=True):
    """Unit-length embeddings of the training examples, grouped by class; `starts` is the first row of each class."""

    embeddings: NDArray[np.float32]
    starts: NDArray[np.int32]
    weight: float
    """Weight of the similarity to the nearest example in a class score."""

    def nearest(self, embedding: NDArray[np.float32], classes: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the cosine similarity to the nearest example of each given class."""
        ends = np.append(self.starts, len(self.embeddings))
        similarities = [(self.embeddings[ends[index] : ends[index + 1]] @ embedding).max() for index in classes]
        return np.array(similarities, dtype=np.float32)


class EmbeddingModel(msgspec.Struct, frozen=True):
    """Scores by embedding: a linear model and, if they improve accuracy, the nearest examples."""

    linear: LinearModel
    examples: ExampleIndex | None = None

    def add_to(self, scores: NDArray[np.float32], embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores plus those of an embedding; examples are compared for the top classes only."""
        scores = scores + EMBEDDING_WEIGHT * (embedding @ self.linear.weights + self.linear.bias)
        if self.examples is not None:
            top = np.argsort(-scores, kind="stable")[:_MAX_NEIGHBOUR_CLASSES]
            similarity = self.examples.nearest(embedding, top)
            # The remaining classes get the lowest similarity of the compared ones.
            scores += self.examples.weight * similarity.min()
            scores[top] += self.examples.weight * (similarity - similarity.min())
        return scores


@dataclass(frozen=True, slots=True)
class Prediction:
    """Classes with their scores, best first, and the in-scope score of the text."""

    ranked: list[tuple[str, float]]
    in_scope_score: float


class Classifier:
    """Scores texts. Immutable: training returns a new one (`training.fit`)."""

    def __init__(
        self,
        classes: list[str],
        dimensions: NDArray[np.int32],
        idf: NDArray[np.float32],
        class_bits: NDArray[np.uint8],
        ngrams: LinearModel,
        embedding: EmbeddingModel | None = None,
    ) -> None:
        """Initialise from trained parameters.

        `dimensions` are the ones seen in training, ascending, with their inverse document frequency in `idf` and, in
        `class_bits`, one bit per class whose examples contain it (`np.packbits`).
        """
        self.classes = classes
        self.dimensions = dimensions
        self.idf = idf
        self.class_bits = class_bits
        self.ngrams = ngrams
        self.embedding = embedding
        self._max_idf = float(idf.max(initial=0.0))
        self._uses_conversations = bool(len(dimensions)) and int(dimensions[-1]) >= 2 * BLOCK_SIZE

    @property
    def neighbour_weight(self) -> float:
        """Weight of the similarity to the nearest example; 0 if examples are not used."""
        examples = self.embedding.examples if self.embedding is not None else None
        return examples.weight if examples is not None else 0.0

    def predict(self, text: str, embedding: NDArray[np.float32] | None = None, *, conversation: str = "") -> Prediction:
        """Score a text, by n-grams alone if it has no embedding; `conversation` is the dialogue that ends with it."""
        dimensions, values = hashed_counts(text, (conversation or text) if self._uses_conversations else "")
        columns = np.searchsorted(self.dimensions, dimensions)
        columns[columns == len(self.dimensions)] = 0
        known = self.dimensions[columns] == dimensions
        coverage = self._coverage(dimensions, columns, known)
        dimensions, values, columns = dimensions[known], values[known], columns[known]
        weighted = normalize_blocks(dimensions, values * self.idf[columns])
        scores = weighted @ self.ngrams.weights[columns] + self.ngrams.bias + COVERAGE_WEIGHT * coverage
        if self.embedding is not None and embedding is not None:
            scores = self.embedding.add_to(scores, embedding)
        ranking = np.argsort(-scores, kind="stable")
        best = ranking[0]
        return Prediction(
            ranked=[(self.classes[index], float(scores[index])) for index in ranking],
            in_scope_score=float(scores[best] + SCOPE_COVERAGE_WEIGHT * coverage[best]),
        )

    def rank(
        self, text: str, embedding: NDArray[np.float32] | None = None, *, conversation: str = ""
    ) -> list[tuple[str, float]]:
        """Return the classes with their scores, best first."""
        return self.predict(text, embedding, conversation=conversation).ranked

    def _coverage(
        self, dimensions: NDArray[np.intp], columns: NDArray[np.intp], known: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return per class the share (0 to 1) of the message's characters that its examples contain.

        An n-gram that no class contains counts with the highest IDF.
        """
        mask = message_character_mask(dimensions)
        idf = self.idf[columns[mask & known]]
        total = float(idf.sum()) + self._max_idf * int((mask & ~known).sum())
        contained = np.unpackbits(self.class_bits[columns[mask & known]], axis=1, count=len(self.classes))
        covered: NDArray[np.float32] = idf @ contained.astype(np.float32)
        return covered / np.float32(max(total, 1e-9))

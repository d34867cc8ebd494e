"""A linear classifier over n-grams and, where there is an embedder, over the text's vector: what training has left.

A class' score adds up the distance to the class' border by n-grams, the same by vector, where that helps the likeness
to the class' nearest example by vector, and the class' coverage: which part of the message's n-grams, weighed by
rarity, the examples of the class have. The coverage also tells what no border can: a question about something else lies
on some class' side by the few words that it shares, and is made of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline_agents.core.routing.features import BLOCK, balanced, characters_of_message, counts

VECTOR_SHARE: Final = 0.6
"""How much the vector's part counts beside the n-grams'; a log-odds is that much longer than a margin."""

_WORTH_A_LOOK: Final = 10
"""Classes, best first, whose examples are looked at: thousands of them are megabytes to read for every message."""

COVERAGE_SHARE: Final = 0.5
"""How much a class' coverage counts in its score."""

COVERAGE_OF_SCOPE: Final = 2.5
"""How much more the best class' coverage counts in familiarity than in the choice."""


class LinearPart(msgspec.Struct, frozen=True):
    """Weights by dimension and class, and one bias a class."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


class Examples(msgspec.Struct, frozen=True):
    """The examples' vectors of length one, those of a class together; by class, where its first one is."""

    vectors: NDArray[np.float32]
    starts: NDArray[np.int32]
    share: float
    """How much the likeness to the nearest one counts in a class' score."""

    def nearest(self, embedding: NDArray[np.float32], classes: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return for these classes how like the nearest example is, as a cosine."""
        ends = np.append(self.starts, len(self.vectors))
        likeness = [(self.vectors[ends[place] : ends[place + 1]] @ embedding).max() for place in classes]
        return np.array(likeness, dtype=np.float32)


class VectorPart(msgspec.Struct, frozen=True):
    """What is known of the classes by vector: their borders, and their examples where those help."""

    borders: LinearPart
    examples: Examples | None = None

    def added(self, scores: NDArray[np.float32], embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores with what the vector says; the likeness to examples only where it can change the choice."""
        scores = scores + VECTOR_SHARE * (embedding @ self.borders.weights + self.borders.bias)
        if self.examples is not None:
            looked_at = np.argsort(-scores, kind="stable")[:_WORTH_A_LOOK]
            likeness = self.examples.nearest(embedding, looked_at)
            # The others are taken to be as unlike as the most unlike of these.
            scores += self.examples.share * likeness.min()
            scores[looked_at] += self.examples.share * (likeness - likeness.min())
        return scores


@dataclass(frozen=True, slots=True)
class Judgement:
    """Classes with their scores, best first, and how much the text is like what the best one has learnt."""

    ranked: list[tuple[str, float]]
    familiarity: float


class Classifier:
    """Judges a text. Immutable: training makes a new one (`training.learn`)."""

    def __init__(
        self,
        classes: list[str],
        dimensions: NDArray[np.int32],
        rarity: NDArray[np.float32],
        owners: NDArray[np.uint8],
        ngrams: LinearPart,
        vector: VectorPart | None = None,
    ) -> None:
        """`dimensions` are those that training has seen, ascending; `rarity` is their inverse document frequency.

        `owners` tells by dimension which classes' examples have it, a bit a class (`np.packbits`).
        """
        self.classes = classes
        self.dimensions = dimensions
        self.rarity = rarity
        self.owners = owners
        self.ngrams = ngrams
        self.vector = vector
        self._rarest = float(rarity.max(initial=0.0))
        self._knows_conversations = bool(len(dimensions)) and int(dimensions[-1]) >= 2 * BLOCK

    @property
    def nearest_share(self) -> float:
        """How much the likeness to the nearest example counts."""
        examples = self.vector.examples if self.vector is not None else None
        return examples.share if examples is not None else 0.0

    def judge(self, text: str, embedding: NDArray[np.float32] | None = None, *, conversation: str = "") -> Judgement:
        """Judge a text, without its vector by n-grams alone; `conversation` is all that was said, with the text."""
        dimensions, values = counts(text, (conversation or text) if self._knows_conversations else "")
        places = np.searchsorted(self.dimensions, dimensions)
        places[places == len(self.dimensions)] = 0
        known = self.dimensions[places] == dimensions
        coverage = self._coverage(dimensions, places, known)
        dimensions, values, places = dimensions[known], values[known], places[known]
        weighted = balanced(dimensions, values * self.rarity[places])
        scores = weighted @ self.ngrams.weights[places] + self.ngrams.bias + COVERAGE_SHARE * coverage
        if self.vector is not None and embedding is not None:
            scores = self.vector.added(scores, embedding)
        ranking = np.argsort(-scores, kind="stable")
        best = ranking[0]
        return Judgement(
            ranked=[(self.classes[place], float(scores[place])) for place in ranking],
            familiarity=float(scores[best] + COVERAGE_OF_SCOPE * coverage[best]),
        )

    def _coverage(
        self, dimensions: NDArray[np.intp], places: NDArray[np.intp], known: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Which part (0 to 1) of the message's characters each class' examples have; what none has is rarest of all."""
        counted = characters_of_message(dimensions)
        rarity = self.rarity[places[counted & known]]
        total = float(rarity.sum()) + self._rarest * int((counted & ~known).sum())
        owned = np.unpackbits(self.owners[places[counted & known]], axis=1, count=len(self.classes))
        covered: NDArray[np.float32] = rarity @ owned.astype(np.float32)
        return covered / np.float32(max(total, 1e-9))

    def ranked(
        self, text: str, embedding: NDArray[np.float32] | None = None, *, conversation: str = ""
    ) -> list[tuple[str, float]]:
        """Classes with their scores, best first."""
        return self.judge(text, embedding, conversation=conversation).ranked

"""Probabilities of intents: logistic regression on the message's embedding, or on its n-grams without one."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline_agents.core.routing.classifier import LinearModel
from trunkline_agents.core.routing.features import hashed_counts, normalize_blocks

RULE_PREFIX: Final = "rule:"
URGENT_PREFIX: Final = "agent:"


class IntentModel(msgspec.Struct, frozen=True):
    """Trained parameters, see `training.fit_intents`."""

    classes: list[str]
    dimensions: NDArray[np.int32]
    """Dimensions of the n-grams seen in training, ascending."""
    idf: NDArray[np.float32]
    ngrams: LinearModel
    embedding: LinearModel | None = None

    def probabilities(self, text: str, embedding: NDArray[np.float32] | None = None) -> dict[str, float]:
        """Return the probability of each class; they add up to 1. `embedding` is the message vector of the text."""
        if embedding is not None and self.embedding is not None:
            logits = embedding @ self.embedding.weights + self.embedding.bias
        else:
            logits = self._ngram_logits(text)
        exponentials = np.exp(logits - logits.max())
        return dict(zip(self.classes, (exponentials / exponentials.sum()).tolist(), strict=True))

    def _ngram_logits(self, text: str) -> NDArray[np.float32]:
        dimensions, values = hashed_counts(text)
        columns = np.searchsorted(self.dimensions, dimensions)
        columns[columns == len(self.dimensions)] = 0
        known = self.dimensions[columns] == dimensions
        weighted = normalize_blocks(dimensions[known], values[known] * self.idf[columns[known]])
        logits: NDArray[np.float32] = weighted @ self.ngrams.weights[columns[known]] + self.ngrams.bias
        return logits

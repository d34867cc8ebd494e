"""Probabilities of intents: logistic regression on the message's embedding, or on its n-grams without one.

A regression misses a danger that resembles one example only ("my little one went under" among many of broken glass), so
the model knows the nearest example of an alarm as well.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from trunkline_protocols.intents import EMERGENCY

from trunkline_agents.core.routing.classifier import LinearModel
from trunkline_agents.core.routing.features import hashed_counts, normalize_blocks

RULE_PREFIX: Final = "rule:"
URGENT_PREFIX: Final = "agent:"

_MIN_LIKENESS: Final = 0.7
"""Cosine similarity from which on a message is like an example."""
_MIN_LEAD: Final = 0.1
"""Minimum of that similarity less the one to any other kind of example. Of 4,000 public messages without a danger, not
one reaches it in fleets of 3 to 28 agents."""


def is_general_danger(name: str) -> bool:
    """Return whether an intent is a danger that no rule of the fleet describes."""
    return name == EMERGENCY or name.startswith(URGENT_PREFIX)


def raises_alarm(name: str) -> bool:
    """Return whether an intent raises an alarm: by a rule of the fleet, or as a danger."""
    return name.startswith(RULE_PREFIX) or is_general_danger(name)


class NearestAlarms(msgspec.Struct, frozen=True):
    """Unit-length embeddings of examples: the first ones raise alarms, the others are those that resemble them most."""

    intents: list[str]
    """Intents of the alarms' examples."""
    embeddings: NDArray[np.float32]

    def find(self, embedding: NDArray[np.float32]) -> str:
        """Return the intent of the alarm's example that a message is like; an empty string without a clear one."""
        alarms = len(self.intents)
        if not alarms:
            return ""
        similarity = self.embeddings[:alarms] @ embedding
        nearest = int(similarity.argmax())
        if similarity[nearest] < _MIN_LIKENESS:
            return ""
        others = self.embeddings[alarms:] @ embedding
        lead = similarity[nearest] - others.max(initial=-1.0)
        return self.intents[nearest] if lead >= _MIN_LEAD else ""


class IntentModel(msgspec.Struct, frozen=True):
    """Trained parameters, see `training.fit_intents`."""

    classes: list[str]
    dimensions: NDArray[np.int32]
    """Dimensions of the n-grams seen in training, ascending."""
    idf: NDArray[np.float32]
    ngrams: LinearModel
    embedding: LinearModel | None = None
    nearest: NearestAlarms | None = None

    def probabilities(self, text: str, embedding: NDArray[np.float32] | None = None) -> dict[str, float]:
        """Return the probability of each class; they add up to 1. `embedding` is the message vector of the text."""
        if embedding is not None and self.embedding is not None:
            logits = embedding @ self.embedding.weights + self.embedding.bias
        else:
            logits = self._ngram_logits(text)
        exponentials = np.exp(logits - logits.max())
        return dict(zip(self.classes, (exponentials / exponentials.sum()).tolist(), strict=True))

    def nearest_alarm(self, embedding: NDArray[np.float32] | None) -> str:
        """Return the intent of the alarm's example that a message is like; an empty string without a clear one."""
        return self.nearest.find(embedding) if self.nearest is not None and embedding is not None else ""

    def _ngram_logits(self, text: str) -> NDArray[np.float32]:
        dimensions, values = hashed_counts(text)
        columns = np.searchsorted(self.dimensions, dimensions)
        columns[columns == len(self.dimensions)] = 0
        known = self.dimensions[columns] == dimensions
        weighted = normalize_blocks(dimensions[known], values[known] * self.idf[columns[known]])
        logits: NDArray[np.float32] = weighted @ self.ngrams.weights[columns[known]] + self.ngrams.bias
        return logits

"""Training of the intent model with scikit-learn; imported by the trainer only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from trunkline_agents.core.intents.model import IntentModel, NearestAlarms, raises_alarm
from trunkline_agents.core.routing.classifier import LinearModel
from trunkline_agents.core.routing.feature_matrix import feature_matrix
from trunkline_agents.core.routing.features import hashed_counts

_COST: Final = 20.0
"""Inverse of the regularisation, as for the routing's logistic regression."""
_TOLERANCE: Final = 1e-3
"""Sufficient for probabilities that are compared with thresholds, in half of the time."""
_MAX_ITERATIONS: Final = 500
_COUNTER_EXAMPLES: Final = 10
"""Examples of other intents that are kept for each one of an alarm: all of a large fleet's would be 40 MB."""


def fit_intents(examples: Sequence[tuple[str, str]], embeddings: NDArray[np.float32] | None = None) -> IntentModel:
    """Train on messages with their intents and, if given, the message vectors of the texts."""
    labels = [label for _, label in examples]
    classes = sorted(set(labels))
    ngrams = feature_matrix([hashed_counts(text) for text, _ in examples])
    return IntentModel(
        classes,
        ngrams.dimensions.astype(np.int32),
        ngrams.idf,
        _fit(ngrams.matrix, labels),
        _fit(embeddings, labels) if embeddings is not None else None,
        _nearest_alarms(embeddings, labels) if embeddings is not None else None,
    )


def _nearest_alarms(embeddings: NDArray[np.float32], labels: Sequence[str]) -> NearestAlarms:
    is_alarm = np.array([raises_alarm(label) for label in labels])
    alarms, others = embeddings[is_alarm], embeddings[~is_alarm]
    closest = np.argsort(alarms @ others.T, axis=1)[:, -_COUNTER_EXAMPLES:]
    counter_examples = others[np.unique(closest)]
    return NearestAlarms([label for label in labels if raises_alarm(label)], np.concatenate([alarms, counter_examples]))


def _fit(features: csr_matrix | NDArray[np.float32], labels: Sequence[str]) -> LinearModel:
    model = LogisticRegression(C=_COST, tol=_TOLERANCE, max_iter=_MAX_ITERATIONS).fit(features, labels)
    return LinearModel(np.ascontiguousarray(model.coef_.T, dtype=np.float32), model.intercept_.astype(np.float32))

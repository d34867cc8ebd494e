"""Training of the classifier from labelled texts with scikit-learn's linear models; seconds for fifteen thousand texts.

Imported by the trainer and the bench only: the library costs a process seconds of start-up time and 190 MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from trunkline_protocols.fleet import Fleet

from trunkline_agents.core.intents.examples import BuiltInExamples, labelled_examples
from trunkline_agents.core.intents.training import fit_intents
from trunkline_agents.core.routing.artefact import RoutingModel, training_examples
from trunkline_agents.core.routing.classifier import (
    EMBEDDING_WEIGHT,
    Classifier,
    EmbeddingModel,
    ExampleIndex,
    LinearModel,
)
from trunkline_agents.core.routing.examples import ConversationExample
from trunkline_agents.core.routing.feature_matrix import feature_matrix
from trunkline_agents.core.routing.features import hashed_counts
from trunkline_agents.core.routing.scope import scope_threshold

_HINGE_COST: Final = 4.0
_LOGISTIC_COST: Final = 20.0
_LOGISTIC_TOLERANCE: Final = 1e-4
"""At 1e-3 the solver stops early, sometimes so early that BANKING77 loses a point of accuracy."""

_SEARCH_TOLERANCE: Final = 1e-3
"""Sufficient for comparing neighbour weights, in a third of the time."""

_MAX_ITERATIONS: Final = 300
_FOLDS: Final = 4
_NEIGHBOUR_WEIGHTS: Final = (0.0, 6.0, 12.0, 18.0)
"""From classes that a linear boundary separates to classes whose examples differ by one word."""

_SEED: Final = 1


class TrainingError(ValueError):
    """The examples cannot be trained on; the message gives the reason."""


def fit(
    examples: Sequence[ConversationExample],
    labels: Sequence[str],
    embeddings: NDArray[np.float32] | None = None,
    *,
    neighbour_weight: float | None = None,
) -> Classifier:
    """Train a classifier on labelled messages and, if given, their embeddings.

    `neighbour_weight` is the weight of the nearest example; None selects the best one by cross-validation.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:  # noqa: PLR2004 - one class leaves no choice
        raise TrainingError(f"examples of {len(classes)} class(es), at least two are needed")
    has_conversations = any(conversation for _, conversation in examples)
    rows = [hashed_counts(text, (conversation or text) if has_conversations else "") for text, conversation in examples]
    features = feature_matrix(rows)
    dimensions, idf = features.dimensions, features.idf
    ngrams = _fit_hinge(features.matrix, labels, classes)
    targets = np.searchsorted(classes, labels)
    embedding = None
    if embeddings is not None:
        weight = _best_neighbour_weight(embeddings, targets) if neighbour_weight is None else neighbour_weight
        embedding = _fit_embedding(embeddings, targets, weight)
    class_bits = _class_bits([row for row, _ in rows], dimensions, targets, len(classes))
    return Classifier(classes, dimensions.astype(np.int32), idf, class_bits, ngrams, embedding)


def held_out_scores(
    examples: Sequence[ConversationExample],
    labels: Sequence[str],
    embeddings: NDArray[np.float32] | None = None,
    *,
    neighbour_weight: float = 0.0,
) -> NDArray[np.float32]:
    """Return cross-validated in-scope scores: the ones that unseen messages of the same kind will get."""
    scores = np.empty(len(examples), dtype=np.float32)
    for kept, held_out in _folds(len(examples)):
        classifier = fit(
            [examples[row] for row in kept],
            [labels[row] for row in kept],
            embeddings[kept] if embeddings is not None else None,
            neighbour_weight=neighbour_weight,
        )
        for row in held_out:
            text, conversation = examples[row]
            embedding = embeddings[row] if embeddings is not None else None
            scores[row] = classifier.predict(text, embedding, conversation=conversation).in_scope_score
    return scores


def _class_bits(
    rows: Sequence[NDArray[np.intp]], dimensions: NDArray[np.intp], targets: NDArray[np.intp], count: int
) -> NDArray[np.uint8]:
    """Return by dimension the classes whose examples contain it, eight classes per byte."""
    contained = np.zeros((len(dimensions), count), dtype=np.bool_)
    for row, target in zip(rows, targets, strict=True):
        contained[np.searchsorted(dimensions, row), target] = True
    return np.packbits(contained, axis=1)


def _fit_hinge(matrix: csr_matrix, labels: Sequence[str], classes: Sequence[str]) -> LinearModel:
    model = LinearSVC(C=_HINGE_COST, random_state=_SEED).fit(matrix, labels)
    return _linear_model(model.coef_, model.intercept_, len(classes))


def _fit_logistic(
    embeddings: NDArray[np.float32], targets: NDArray[np.intp], known: NDArray[np.intp], tolerance: float
) -> LinearModel:
    model = LogisticRegression(C=_LOGISTIC_COST, tol=tolerance, max_iter=_MAX_ITERATIONS).fit(embeddings, targets)
    return _linear_model(model.coef_, model.intercept_, len(known))


def _best_neighbour_weight(embeddings: NDArray[np.float32], targets: NDArray[np.intp]) -> float:
    """Return the weight of the nearest example with the highest cross-validated accuracy."""
    correct = [0] * len(_NEIGHBOUR_WEIGHTS)
    for kept, held_out in _folds(len(embeddings)):
        known = np.unique(targets[kept])
        if len(known) > 1:
            linear = _fit_logistic(embeddings[kept], targets[kept], known, _SEARCH_TOLERANCE)
            scores = EMBEDDING_WEIGHT * (embeddings[held_out] @ linear.weights + linear.bias)
            index = _example_index(embeddings[kept], targets[kept], 1.0)
            similarity = np.maximum.reduceat(embeddings[held_out] @ index.embeddings.T, index.starts, axis=1)
            for number, weight in enumerate(_NEIGHBOUR_WEIGHTS):
                best = known[(scores + weight * similarity).argmax(axis=1)]
                correct[number] += int((best == targets[held_out]).sum())
    return _NEIGHBOUR_WEIGHTS[int(np.argmax(correct))]


def _fit_embedding(
    embeddings: NDArray[np.float32], targets: NDArray[np.intp], neighbour_weight: float
) -> EmbeddingModel:
    linear = _fit_logistic(embeddings, targets, np.unique(targets), _LOGISTIC_TOLERANCE)
    return EmbeddingModel(linear, _example_index(embeddings, targets, neighbour_weight) if neighbour_weight else None)


def _folds(rows: int) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the kept and the held-out rows of each fold; every row is held out once."""
    folds = np.random.default_rng(_SEED).permutation(rows) % _FOLDS
    for fold in range(_FOLDS):
        yield np.nonzero(folds != fold)[0].tolist(), np.nonzero(folds == fold)[0].tolist()


def _example_index(embeddings: NDArray[np.float32], targets: NDArray[np.intp], weight: float) -> ExampleIndex:
    by_class = np.argsort(targets, kind="stable")
    _, starts = np.unique(targets[by_class], return_index=True)
    return ExampleIndex(embeddings[by_class], starts.astype(np.int32), weight)


def _linear_model(weights: NDArray[np.float64], bias: NDArray[np.float64], classes: int) -> LinearModel:
    """Convert scikit-learn's parameters; for two classes it fits one boundary, which is negated for the first class."""
    if len(weights) < classes:
        weights, bias = np.concatenate([-weights, weights]), np.concatenate([-bias, bias])
    return LinearModel(np.ascontiguousarray(weights.T, dtype=np.float32), bias.astype(np.float32))


def train(
    fleet: Fleet,
    version: str,
    embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
    *,
    built_in: BuiltInExamples,
) -> RoutingModel:
    """Train a fleet's routing model on its agents' examples, by specialty and by agent, and on those of intents."""
    examples = [example for agent in fleet.agents for example in training_examples(agent)]
    agents = [agent.name for agent in fleet.agents for _ in training_examples(agent)]
    specialties = [agent.specialty for agent in fleet.agents for _ in training_examples(agent)]
    embeddings = embed([text for text, _ in examples]) if embed is not None else None
    by_specialty = fit(examples, specialties, embeddings)
    threshold = embedding_threshold = scope_threshold(held_out_scores(examples, specialties))
    if embeddings is not None:
        weight = by_specialty.neighbour_weight
        embedding_threshold = scope_threshold(
            held_out_scores(examples, specialties, embeddings, neighbour_weight=weight)
        )
    messages = labelled_examples(fleet, built_in)
    intents = fit_intents(messages, embed([text for text, _ in messages]) if embed is not None else None)
    by_agent = fit(examples, agents, embeddings)
    return RoutingModel(version, by_specialty, by_agent, intents, threshold, embedding_threshold)

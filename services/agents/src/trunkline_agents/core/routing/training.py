"""Training: from labelled texts to a classifier, by scikit-learn's linear models. Seconds for fifteen thousand texts.

Only what trains imports this module: the library costs every process seconds of start and 190 MiB.
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

from trunkline_agents.core.routing.artefact import RoutingModel, lessons
from trunkline_agents.core.routing.classifier import VECTOR_SHARE, Classifier, Examples, LinearPart, VectorPart
from trunkline_agents.core.routing.examples import ConversationExample
from trunkline_agents.core.routing.features import DIMENSIONS, balanced, counts
from trunkline_agents.core.routing.scope import floor_of

_HINGE_COST: Final = 4.0
_LOGISTIC_COST: Final = 20.0
_LOGISTIC_TOLERANCE: Final = 1e-4
"""At 1e-3 it stops early, and at times so early that BANKING77 loses a point."""

_ROUGH_TOLERANCE: Final = 1e-3
"""Enough for comparing shares, in a third of the time."""

_MOST_ROUNDS: Final = 300
_FOLDS: Final = 4
_NEAREST_SHARES: Final = (0.0, 6.0, 12.0, 18.0)
"""From classes whose examples only say what they are about to those that differ in a word."""

_SEED: Final = 1


class TrainingError(ValueError):
    """These examples teach nothing; the message says why."""


def learn(
    said: Sequence[ConversationExample],
    labels: Sequence[str],
    vectors: NDArray[np.float32] | None = None,
    *,
    nearest_share: float | None = None,
) -> Classifier:
    """Learn from labelled messages, and from their vectors where there are any.

    `nearest_share` is how much the nearest example shall count; None finds out what serves best.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:  # noqa: PLR2004 - one class is no choice
        raise TrainingError(f"examples of {len(classes)} class(es), at least two are needed")
    knows_conversations = any(conversation for _, conversation in said)
    rows = [counts(text, (conversation or text) if knows_conversations else "") for text, conversation in said]
    dimensions, seen = np.unique(np.concatenate([found for found, _ in rows]), return_counts=True)
    rarity = (np.log((1 + len(rows)) / (1 + seen)) + 1).astype(np.float32)
    ngrams = _hinge(_matrix(rows, dimensions, rarity), labels, classes)
    numbers = np.searchsorted(classes, labels)
    vector = None
    if vectors is not None:
        share = _best_share(vectors, numbers) if nearest_share is None else nearest_share
        vector = _vector_part(vectors, numbers, share)
    owners = _owners([found for found, _ in rows], dimensions, numbers, len(classes))
    return Classifier(classes, dimensions.astype(np.int32), rarity, owners, ngrams, vector)


def held_out_familiarity(
    said: Sequence[ConversationExample],
    labels: Sequence[str],
    vectors: NDArray[np.float32] | None = None,
    *,
    nearest_share: float = 0.0,
) -> NDArray[np.float32]:
    """Judge every message by a classifier that has not seen it: how familiar an unseen one of the same kind will be."""
    familiarity = np.empty(len(said), dtype=np.float32)
    for kept, held in _folds(len(said)):
        part = learn(
            [said[row] for row in kept],
            [labels[row] for row in kept],
            vectors[kept] if vectors is not None else None,
            nearest_share=nearest_share,
        )
        for row in held:
            text, conversation = said[row]
            vector = vectors[row] if vectors is not None else None
            familiarity[row] = part.judge(text, vector, conversation=conversation).familiarity
    return familiarity


def _matrix(
    rows: Sequence[tuple[NDArray[np.intp], NDArray[np.float32]]],
    dimensions: NDArray[np.intp],
    rarity: NDArray[np.float32],
) -> csr_matrix:
    # A table instead of a search per row: the dimensions are few enough.
    place_of = np.zeros(DIMENSIONS, dtype=np.int32)
    place_of[dimensions] = np.arange(len(dimensions), dtype=np.int32)
    places = [place_of[found] for found, _ in rows]
    values = [balanced(found, often * rarity[place]) for (found, often), place in zip(rows, places, strict=True)]
    ends = np.cumsum([0, *map(len, places)])
    return csr_matrix((np.concatenate(values), np.concatenate(places), ends), shape=(len(rows), len(dimensions)))


def _owners(
    rows: Sequence[NDArray[np.intp]], dimensions: NDArray[np.intp], classes: NDArray[np.intp], count: int
) -> NDArray[np.uint8]:
    """Say by dimension which classes have it, eight classes a byte."""
    owned = np.zeros((len(dimensions), count), dtype=np.bool_)
    for found, number in zip(rows, classes, strict=True):
        owned[np.searchsorted(dimensions, found), number] = True
    return np.packbits(owned, axis=1)


def _hinge(matrix: csr_matrix, labels: Sequence[str], classes: Sequence[str]) -> LinearPart:
    model = LinearSVC(C=_HINGE_COST, random_state=_SEED).fit(matrix, labels)
    return _both_sides(model.coef_, model.intercept_, len(classes))


def _logistic(
    vectors: NDArray[np.float32], classes: NDArray[np.intp], known: NDArray[np.intp], tolerance: float
) -> LinearPart:
    model = LogisticRegression(C=_LOGISTIC_COST, tol=tolerance, max_iter=_MOST_ROUNDS).fit(vectors, classes)
    return _both_sides(model.coef_, model.intercept_, len(known))


def _best_share(vectors: NDArray[np.float32], classes: NDArray[np.intp]) -> float:
    """Return how much the nearest example should count, so that most unseen messages find their class."""
    right = [0] * len(_NEAREST_SHARES)
    for kept, held in _folds(len(vectors)):
        known = np.unique(classes[kept])
        if len(known) > 1:
            borders = _logistic(vectors[kept], classes[kept], known, _ROUGH_TOLERANCE)
            beyond = VECTOR_SHARE * (vectors[held] @ borders.weights + borders.bias)
            examples = _examples(vectors[kept], classes[kept], 1.0)
            likeness = np.maximum.reduceat(vectors[held] @ examples.vectors.T, examples.starts, axis=1)
            for number, share in enumerate(_NEAREST_SHARES):
                best = known[(beyond + share * likeness).argmax(axis=1)]
                right[number] += int((best == classes[held]).sum())
    return _NEAREST_SHARES[int(np.argmax(right))]


def _vector_part(vectors: NDArray[np.float32], classes: NDArray[np.intp], nearest_share: float) -> VectorPart:
    borders = _logistic(vectors, classes, np.unique(classes), _LOGISTIC_TOLERANCE)
    return VectorPart(borders, _examples(vectors, classes, nearest_share) if nearest_share else None)


def _folds(rows: int) -> Iterator[tuple[list[int], list[int]]]:
    """Hold out every row once; which ones stay, and which are held out."""
    folds = np.random.default_rng(_SEED).permutation(rows) % _FOLDS
    for fold in range(_FOLDS):
        yield np.nonzero(folds != fold)[0].tolist(), np.nonzero(folds == fold)[0].tolist()


def _examples(vectors: NDArray[np.float32], classes: NDArray[np.intp], share: float) -> Examples:
    by_class = np.argsort(classes, kind="stable")
    _, starts = np.unique(classes[by_class], return_index=True)
    return Examples(vectors[by_class], starts.astype(np.int32), share)


def _both_sides(weights: NDArray[np.float64], bias: NDArray[np.float64], classes: int) -> LinearPart:
    """With two classes the library gives one border: it is the second class' own, and the first's the other way."""
    if len(weights) < classes:
        weights, bias = np.concatenate([-weights, weights]), np.concatenate([-bias, bias])
    return LinearPart(np.ascontiguousarray(weights.T, dtype=np.float32), bias.astype(np.float32))


def train(
    fleet: Fleet, version: str, embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None
) -> RoutingModel:
    """Learn a fleet's routing from its agents' examples: which specialty, then which agent."""
    said = [one for agent in fleet.agents for one in lessons(agent)]
    agents = [agent.name for agent in fleet.agents for _ in lessons(agent)]
    specialties = [agent.specialty for agent in fleet.agents for _ in lessons(agent)]
    vectors = embed([text for text, _ in said]) if embed is not None else None
    by_specialty = learn(said, specialties, vectors)
    floor = vector_floor = floor_of(held_out_familiarity(said, specialties))
    if vectors is not None:
        share = by_specialty.nearest_share
        vector_floor = floor_of(held_out_familiarity(said, specialties, vectors, nearest_share=share))
    return RoutingModel(version, by_specialty, learn(said, agents, vectors), floor, vector_floor)

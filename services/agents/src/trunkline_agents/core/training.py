"""Training: from labelled texts to a classifier, by scikit-learn's linear models. Seconds for fifteen thousand texts.

Only what trains imports this module: the library costs every process seconds of start and 190 MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from trunkline_protocols.fleet import Fleet

from trunkline_agents.core.artefact import RoutingModel, lessons
from trunkline_agents.core.classifier import Classifier, LinearPart
from trunkline_agents.core.features import DIMENSIONS, balanced, counts
from trunkline_agents.core.said import Said
from trunkline_agents.core.scope import floor_of

_HINGE_COST: Final = 4.0
_LOGISTIC_COST: Final = 10.0
_LOGISTIC_TOLERANCE: Final = 1e-3
_FOLDS: Final = 4
_SEED: Final = 1


class TrainingError(ValueError):
    """These examples teach nothing; the message says why."""


def learn(said: Sequence[Said], labels: Sequence[str], vectors: NDArray[np.float32] | None = None) -> Classifier:
    """Learn from labelled messages, and from their vectors where there are any."""
    classes = sorted(set(labels))
    if len(classes) < 2:  # noqa: PLR2004 - one class is no choice
        raise TrainingError(f"examples of {len(classes)} class(es), at least two are needed")
    knows_conversations = any(conversation for _, conversation in said)
    rows = [counts(text, (conversation or text) if knows_conversations else "") for text, conversation in said]
    dimensions, seen = np.unique(np.concatenate([found for found, _ in rows]), return_counts=True)
    rarity = (np.log((1 + len(rows)) / (1 + seen)) + 1).astype(np.float32)
    ngrams = _hinge(_matrix(rows, dimensions, rarity), labels, classes)
    vector = _logistic(vectors, labels, classes) if vectors is not None else None
    owners = _owners([found for found, _ in rows], dimensions, np.searchsorted(classes, labels), len(classes))
    return Classifier(classes, dimensions.astype(np.int32), rarity, owners, ngrams, vector)


def held_out_familiarity(
    said: Sequence[Said], labels: Sequence[str], vectors: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Judge every message by a classifier that has not seen it: how familiar an unseen one of the same kind will be."""
    folds = np.random.default_rng(_SEED).permutation(len(said)) % _FOLDS
    familiarity = np.empty(len(said), dtype=np.float32)
    for fold in range(_FOLDS):
        kept: list[int] = np.nonzero(folds != fold)[0].tolist()
        held: list[int] = np.nonzero(folds == fold)[0].tolist()
        part = learn(
            [said[row] for row in kept], [labels[row] for row in kept], vectors[kept] if vectors is not None else None
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
    return _both_sides(model.coef_, model.intercept_, classes)


def _logistic(vectors: NDArray[np.float32], labels: Sequence[str], classes: Sequence[str]) -> LinearPart:
    model = LogisticRegression(C=_LOGISTIC_COST, tol=_LOGISTIC_TOLERANCE, max_iter=100).fit(vectors, labels)
    return _both_sides(model.coef_, model.intercept_, classes)


def _both_sides(weights: NDArray[np.float64], bias: NDArray[np.float64], classes: Sequence[str]) -> LinearPart:
    """With two classes the library gives one border: it is the second class' own, and the first's the other way."""
    if len(weights) < len(classes):
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
    floor = floor_of(held_out_familiarity(said, specialties))
    return RoutingModel(
        version=version,
        by_specialty=learn(said, specialties, vectors),
        by_agent=learn(said, agents, vectors),
        floor=floor,
        vector_floor=floor_of(held_out_familiarity(said, specialties, vectors)) if vectors is not None else floor,
    )

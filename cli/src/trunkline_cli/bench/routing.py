"""`trunkline bench routing`: the classifier of triage on labelled messages.

`in_scope_accuracy` is the share of rows with a label whose best class is that label. If the test file has rows out of
scope (`label` null), `accuracy` and `macro_f1` treat a rejection as one more class: correct for those rows, wrong for
all others. The threshold (`floor`) below which a message is rejected is set on the validation file, by default by
cross-validation of the training file: 4.5 % of the messages in scope score below it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from trunkline_agents.core.routing.classifier import Classifier, Prediction
from trunkline_agents.core.routing.examples import ConversationExample, parse_conversation
from trunkline_agents.core.routing.scope import scope_threshold
from trunkline_agents.core.routing.training import TrainingError, fit, held_out_scores
from trunkline_embedding import LEXICAL, Embedder, EmbedderChoice, EmbeddingError, message_embedder, open_embedder

from trunkline_cli.bench.rows import percentile, read_rows
from trunkline_cli.errors import CommandError

_WORDS_OF_LABEL: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


class _Row(msgspec.Struct):
    text: str = ""
    label: str | None = None
    conversation: str = ""
    target_agent: str | None = None

    @property
    def example(self) -> ConversationExample:
        return ConversationExample(self.text) if self.text else parse_conversation(self.conversation)

    @property
    def expected(self) -> str | None:
        return self.label if self.label is not None else self.target_agent


class RoutingFigures(msgspec.Struct):
    """Results. Shares from 0 to 1; times per message in milliseconds, of the training in seconds."""

    accuracy: float
    macro_f1: float
    in_scope_accuracy: float
    oos_recall: float | None
    false_reject_rate: float
    fit_s: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    embedder: str
    train: int
    test: int
    classes: int
    floor: float


def measure_routing(train: Path, test: Path, validation: Path | None, choice: EmbedderChoice) -> RoutingFigures:
    """Train on one file and score another."""
    embedder = _open_embedder(choice)
    train_rows = [row for row in read_rows(train, _Row) if row.expected is not None]
    test_rows = read_rows(test, _Row)
    started = time.perf_counter()
    training_set = _training_set(train_rows, embedder)
    classifier = _fit(training_set)
    fit_s = time.perf_counter() - started
    if validation is not None:
        threshold = _validated_threshold(classifier, read_rows(validation, _Row), embedder)
    else:
        threshold = _held_out_threshold(classifier, training_set, len(train_rows))
    run = _predict_all(classifier, test_rows, embedder)
    scores = _Scores([row.expected for row in test_rows], run.predictions, threshold)
    return RoutingFigures(
        accuracy=scores.accuracy,
        macro_f1=scores.macro_f1,
        in_scope_accuracy=scores.in_scope_accuracy,
        oos_recall=scores.oos_recall,
        false_reject_rate=scores.false_reject_rate,
        fit_s=round(fit_s, 3),
        p50_ms=percentile(run.times_ms, 0.5),
        p95_ms=percentile(run.times_ms, 0.95),
        cpu_ms=round(run.cpu_ms, 3),
        embedder=embedder.name if embedder is not None else LEXICAL,
        train=len(train_rows),
        test=len(test_rows),
        classes=len(classifier.classes),
        floor=round(threshold, 4),
    )


def _open_embedder(choice: EmbedderChoice) -> Embedder | None:
    try:
        embedder = open_embedder(choice)
        return message_embedder(embedder) if embedder is not None else None
    except EmbeddingError as error:
        raise CommandError(str(error)) from error


# -- training ---


class _TrainingSet(NamedTuple):
    examples: list[ConversationExample]
    labels: list[str]
    vectors: NDArray[np.float32] | None


def _training_set(rows: Sequence[_Row], embedder: Embedder | None) -> _TrainingSet:
    """Return examples as the fleet's routing has them: the rows, and the name of each class as one more."""
    labels = [row.expected or "" for row in rows]
    names = sorted(set(labels))
    examples = [row.example for row in rows] + [
        ConversationExample(" ".join(_WORDS_OF_LABEL.findall(name)) or name) for name in names
    ]
    return _TrainingSet(examples, labels + names, _embed(embedder, examples))


def _fit(training_set: _TrainingSet) -> Classifier:
    try:
        return fit(*training_set)
    except TrainingError as error:
        raise CommandError(str(error)) from error


def _validated_threshold(classifier: Classifier, validation: Sequence[_Row], embedder: Embedder | None) -> float:
    in_scope = [row.example for row in validation if row.expected is not None]
    scores = [_predict(classifier, example, embedder).in_scope_score for example in in_scope]
    return scope_threshold(np.array(scores, dtype=np.float32))


def _held_out_threshold(classifier: Classifier, training_set: _TrainingSet, messages: int) -> float:
    """Use the scores of the messages only: names of classes improve the training, but are not customers' messages."""
    return scope_threshold(held_out_scores(*training_set, neighbour_weight=classifier.neighbour_weight)[:messages])


# -- prediction ---


class _Run(NamedTuple):
    predictions: list[Prediction]
    times_ms: list[float]
    cpu_ms: float
    """CPU time per message."""


def _predict_all(classifier: Classifier, rows: Sequence[_Row], embedder: Embedder | None) -> _Run:
    predictions: list[Prediction] = []
    times_ms: list[float] = []
    cpu_started = time.process_time()
    for row in rows:
        started = time.perf_counter()
        predictions.append(_predict(classifier, row.example, embedder))
        times_ms.append((time.perf_counter() - started) * 1000)
    return _Run(predictions, times_ms, (time.process_time() - cpu_started) * 1000 / len(rows))


def _predict(classifier: Classifier, example: ConversationExample, embedder: Embedder | None) -> Prediction:
    vectors = _embed(embedder, [example])
    return classifier.predict(
        example.text, vectors[0] if vectors is not None else None, conversation=example.conversation
    )


def _embed(embedder: Embedder | None, examples: Sequence[ConversationExample]) -> NDArray[np.float32] | None:
    return embedder.embed([text for text, _ in examples]) if embedder is not None else None


# -- scores ---


class _Scores:
    """Scores of predictions against expected labels."""

    def __init__(self, expected: Sequence[str | None], predictions: Sequence[Prediction], threshold: float) -> None:
        self._expected = expected
        self._best = [prediction.ranked[0][0] for prediction in predictions]
        self._rejected = [prediction.in_scope_score < threshold for prediction in predictions]
        rejects = None in expected
        self._actual = [
            None if rejects and is_rejected else label
            for label, is_rejected in zip(self._best, self._rejected, strict=True)
        ]
        self._in_scope = [index for index, label in enumerate(expected) if label is not None]
        self._out_of_scope = [index for index, label in enumerate(expected) if label is None]

    @property
    def accuracy(self) -> float:
        return _share(actual == expected for actual, expected in zip(self._actual, self._expected, strict=True))

    @property
    def macro_f1(self) -> float:
        pairs = list(zip(self._expected, self._actual, strict=True))
        values = []
        for label in set(self._expected):
            correct = sum(expected == actual == label for expected, actual in pairs)
            values.append(2 * correct / sum((expected == label) + (actual == label) for expected, actual in pairs))
        return round(sum(values) / len(values), 4)

    @property
    def in_scope_accuracy(self) -> float:
        return _share(self._best[index] == self._expected[index] for index in self._in_scope)

    @property
    def oos_recall(self) -> float | None:
        return _share(self._rejected[index] for index in self._out_of_scope) if self._out_of_scope else None

    @property
    def false_reject_rate(self) -> float:
        return _share(self._rejected[index] for index in self._in_scope)


def _share(outcomes: Iterable[bool]) -> float:
    counted = list(outcomes)
    return round(sum(counted) / len(counted), 4) if counted else 0.0

"""`trunkline bench routing`: triage's classifier on labelled messages.

`in_scope_accuracy` asks which class is the best one of the rows that have one. Where the test file has rows out of
scope (`label` null), `accuracy` and `macro_f1` count a rejection as one more class: right for those rows, wrong for
all others. The floor below which a message is rejected comes from the validation file, else from the training file
by cross-validation: so familiar that 4.5 % of the messages in scope are less so.
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
from trunkline_embedding import LEXICAL, Embedder, EmbedderChoice, EmbeddingError, open_embedder

from trunkline_cli.bench.rows import percentile, read_rows
from trunkline_cli.errors import CommandError

_WORDS_OF_LABEL: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


class _Row(msgspec.Struct):
    text: str = ""
    label: str | None = None
    conversation: str = ""
    target_agent: str | None = None

    @property
    def said(self) -> ConversationExample:
        return ConversationExample(self.text) if self.text else parse_conversation(self.conversation)

    @property
    def wanted(self) -> str | None:
        return self.label if self.label is not None else self.target_agent


class RoutingFigures(msgspec.Struct):
    """What was measured. Shares from 0 to 1; times of one message in milliseconds, of the training in seconds."""

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
    embedder = _opened(choice)
    train_rows = [row for row in read_rows(train, _Row) if row.wanted is not None]
    test_rows = read_rows(test, _Row)
    started = time.perf_counter()
    lessons = _lessons(train_rows, embedder)
    classifier = _learnt(lessons)
    fit_s = time.perf_counter() - started
    if validation is not None:
        floor = _validated_floor(classifier, read_rows(validation, _Row), embedder)
    else:
        floor = _held_out_floor(classifier, lessons, len(train_rows))
    judged: list[Prediction] = []
    times: list[float] = []
    cpu_started = time.process_time()
    for row in test_rows:
        at = time.perf_counter()
        judged.append(_judgement(classifier, row.said, embedder))
        times.append((time.perf_counter() - at) * 1000)
    cpu_ms = (time.process_time() - cpu_started) * 1000 / len(test_rows)
    wanted = [row.wanted for row in test_rows]
    outcome = _Outcome(wanted, judged, floor)
    return RoutingFigures(
        accuracy=outcome.accuracy,
        macro_f1=outcome.macro_f1,
        in_scope_accuracy=outcome.in_scope_accuracy,
        oos_recall=outcome.oos_recall,
        false_reject_rate=outcome.false_reject_rate,
        fit_s=round(fit_s, 3),
        p50_ms=percentile(times, 0.5),
        p95_ms=percentile(times, 0.95),
        cpu_ms=round(cpu_ms, 3),
        embedder=embedder.name if embedder is not None else LEXICAL,
        train=len(train_rows),
        test=len(test_rows),
        classes=len(classifier.classes),
        floor=round(floor, 4),
    )


def _opened(choice: EmbedderChoice) -> Embedder | None:
    try:
        return open_embedder(choice, middle_layer=True)
    except EmbeddingError as error:
        raise CommandError(str(error)) from error


class _Lessons(NamedTuple):
    said: list[ConversationExample]
    labels: list[str]
    vectors: NDArray[np.float32] | None


def _lessons(rows: Sequence[_Row], embedder: Embedder | None) -> _Lessons:
    """Teach as the fleet's routing is taught: the examples, and the name of each class as one more."""
    labels = [row.wanted or "" for row in rows]
    names = sorted(set(labels))
    said = [row.said for row in rows] + [
        ConversationExample(" ".join(_WORDS_OF_LABEL.findall(name)) or name) for name in names
    ]
    return _Lessons(said, labels + names, _vectors(embedder, said))


def _learnt(lessons: _Lessons) -> Classifier:
    try:
        return fit(*lessons)
    except TrainingError as error:
        raise CommandError(str(error)) from error


def _validated_floor(classifier: Classifier, validation: Sequence[_Row], embedder: Embedder | None) -> float:
    in_scope = [row.said for row in validation if row.wanted is not None]
    familiarity = [_judgement(classifier, said, embedder).in_scope_score for said in in_scope]
    return scope_threshold(np.array(familiarity, dtype=np.float32))


def _held_out_floor(classifier: Classifier, lessons: _Lessons, messages: int) -> float:
    """Names of classes help to learn, but nobody says them."""
    return scope_threshold(held_out_scores(*lessons, neighbour_weight=classifier.neighbour_weight)[:messages])


def _judgement(classifier: Classifier, said: ConversationExample, embedder: Embedder | None) -> Prediction:
    vectors = _vectors(embedder, [said])
    return classifier.predict(said.text, vectors[0] if vectors is not None else None, conversation=said.conversation)


def _vectors(embedder: Embedder | None, said: Sequence[ConversationExample]) -> NDArray[np.float32] | None:
    return embedder.embed([text for text, _ in said]) if embedder is not None else None


class _Outcome:
    """How the rows ended: what was wanted, what was the best class, and what was rejected."""

    def __init__(self, wanted: Sequence[str | None], judged: Sequence[Prediction], floor: float) -> None:
        self._wanted = wanted
        self._best = [one.ranked[0][0] for one in judged]
        self._rejected = [one.in_scope_score < floor for one in judged]
        has_strangers = None in wanted
        self._ends = [
            None if has_strangers and out else label for label, out in zip(self._best, self._rejected, strict=True)
        ]
        self._inside = [place for place, label in enumerate(wanted) if label is not None]
        self._outside = [place for place, label in enumerate(wanted) if label is None]

    @property
    def accuracy(self) -> float:
        return _share(end == want for end, want in zip(self._ends, self._wanted, strict=True))

    @property
    def macro_f1(self) -> float:
        pairs = list(zip(self._wanted, self._ends, strict=True))
        values = []
        for label in set(self._wanted):
            right = sum(want == end == label for want, end in pairs)
            values.append(2 * right / sum((want == label) + (end == label) for want, end in pairs))
        return round(sum(values) / len(values), 4)

    @property
    def in_scope_accuracy(self) -> float:
        return _share(self._best[place] == self._wanted[place] for place in self._inside)

    @property
    def oos_recall(self) -> float | None:
        return _share(self._rejected[place] for place in self._outside) if self._outside else None

    @property
    def false_reject_rate(self) -> float:
        return _share(self._rejected[place] for place in self._inside)


def _share(outcomes: Iterable[bool]) -> float:
    counted = list(outcomes)
    return round(sum(counted) / len(counted), 4) if counted else 0.0

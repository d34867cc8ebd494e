"""The classifier behind routing, and what its training keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from trunkline_agents.core.classifier import Classifier
from trunkline_agents.core.training import TrainingError, held_out_scores, learn

EXAMPLES = {
    "billing": ["I was charged twice", "refund my payment", "the invoice is wrong", "why was my card charged"],
    "technical": ["the wifi does not connect", "my camera is offline", "router keeps restarting", "wifi is slow"],
    "returns": ["send the lamp back", "where is my return label", "return the parcel", "exchange it for another size"],
}
TEXTS = [text for texts in EXAMPLES.values() for text in texts]
LABELS = [label for label, texts in EXAMPLES.items() for _ in texts]
CLASSIFIER = learn(TEXTS, LABELS)


def best(classifier: Classifier, text: str) -> str:
    return classifier.ranked(text)[0][0]


def test_unseen_wording_finds_its_class() -> None:
    """Also with a typo: characters count, not only words."""
    assert best(CLASSIFIER, "you charged my card two times") == "billing"
    assert best(CLASSIFIER, "wfi not connecting") == "technical"


def test_two_classes_are_told_apart_as_three_are() -> None:
    """The library gives two classes one border."""
    two = learn(TEXTS[:8], LABELS[:8])
    assert best(two, "you charged my card two times") == "billing"
    assert best(two, "wfi not connecting") == "technical"


@given(st.text(max_size=300))
def test_any_text_gets_a_finite_score_for_every_class(text: str) -> None:
    """Nothing to go by, no exception."""
    scores = CLASSIFIER.scores(text)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()


def test_strange_message_scores_lower_than_any_that_was_learnt() -> None:
    """The best score is the sign of a question about something else."""
    strange = CLASSIFIER.ranked("who won the football championship of 1974")[0][1]
    assert strange < min(CLASSIFIER.ranked(text)[0][1] for text in TEXTS)


def test_vectors_speak_where_words_are_silent() -> None:
    """Both parts add up to one score; without its vector a text is judged by its words."""
    vectors = np.eye(3, dtype=np.float32)[[list(EXAMPLES).index(label) for label in LABELS]]
    both = learn(TEXTS, LABELS, vectors)
    assert both.ranked("zzz", np.array([0, 0, 1], dtype=np.float32))[0][0] == "returns"
    assert both.ranked("wifi")[0][0] == "technical"


def test_held_out_scores_are_lower_than_those_of_learnt_texts() -> None:
    """They tell what an unseen message will score."""
    seen = np.mean([CLASSIFIER.scores(text).max() for text in TEXTS])
    assert held_out_scores(TEXTS, LABELS).mean() < seen


def test_one_class_is_refused_with_its_reason() -> None:
    """There is nothing to choose."""
    with pytest.raises(TrainingError, match="at least two"):
        learn(["a", "b"], ["x", "x"])

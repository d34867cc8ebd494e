"""The classifier behind routing."""

from __future__ import annotations

from trunkline_agents.core.classifier import Classifier

EXAMPLES = {
    "billing": ["I was charged twice", "refund my payment", "the invoice is wrong", "why was my card charged"],
    "technical": ["the wifi does not connect", "my camera is offline", "router keeps restarting", "wifi is slow"],
}
TEXTS = [text for texts in EXAMPLES.values() for text in texts]
LABELS = [label for label, texts in EXAMPLES.items() for _ in texts]


def best(classifier: Classifier, text: str) -> str:
    scores = classifier.scores(text)
    return max(scores, key=lambda label: scores[label])


def test_unseen_wording_finds_its_class() -> None:
    """Also with a typo: characters count, not only words."""
    classifier = Classifier(TEXTS, LABELS)
    assert best(classifier, "you charged my card two times") == "billing"
    assert best(classifier, "wfi not connecting") == "technical"


def test_text_without_a_word_scores_by_frequency_alone() -> None:
    """Nothing to go by, no exception."""
    assert set(Classifier(TEXTS, LABELS).scores("🙂").values()) == {0.0}

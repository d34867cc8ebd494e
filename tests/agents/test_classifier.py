"""The classifier behind routing and its training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from trunkline_agents.core.intents.training import fit_intents
from trunkline_agents.core.routing.artefact import RoutingModel, decode, encode
from trunkline_agents.core.routing.classifier import Classifier
from trunkline_agents.core.routing.examples import ConversationExample, parse_conversation
from trunkline_agents.core.routing.training import TrainingError, fit, held_out_scores

EXAMPLES = {
    "billing": ["I was charged twice", "refund my payment", "the invoice is wrong", "why was my card charged"],
    "technical": ["the wifi does not connect", "my camera is offline", "router keeps restarting", "wifi is slow"],
    "returns": ["send the lamp back", "where is my return label", "return the parcel", "exchange it for another size"],
}
TEXTS = [ConversationExample(text) for texts in EXAMPLES.values() for text in texts]
LABELS = [label for label, texts in EXAMPLES.items() for _ in texts]
CLASSIFIER = fit(TEXTS, LABELS)


CENTRES = np.random.default_rng(1).normal(size=(24, 4)).astype(np.float32)
CENTRES /= np.linalg.norm(CENTRES, axis=1, keepdims=True)


def parity(number: int) -> str:
    return "odd" if number % 2 else "even"


def best(classifier: Classifier, text: str) -> str:
    return classifier.rank(text)[0][0]


def test_unseen_wording_is_classified() -> None:
    """A typo is tolerated: character n-grams count, not only words."""
    assert best(CLASSIFIER, "you charged my card two times") == "billing"
    assert best(CLASSIFIER, "wfi not connecting") == "technical"


def test_two_classes_are_separated_like_three() -> None:
    """The library fits a single boundary for two classes."""
    two = fit(TEXTS[:8], LABELS[:8])
    assert best(two, "you charged my card two times") == "billing"
    assert best(two, "wfi not connecting") == "technical"


@given(st.text(max_size=300))
def test_any_text_gets_a_finite_score_for_every_class(text: str) -> None:
    """A text without known features raises no exception."""
    prediction = CLASSIFIER.predict(text, conversation=f"customer: {text}")
    assert {name for name, _ in prediction.ranked} == EXAMPLES.keys()
    assert np.isfinite([prediction.in_scope_score, *(score for _, score in prediction.ranked)]).all()


def test_out_of_scope_message_scores_below_every_training_example() -> None:
    """The in-scope score detects a question about another topic."""
    out_of_scope = CLASSIFIER.predict("who won the football championship of 1974").in_scope_score
    assert out_of_scope < min(CLASSIFIER.predict(example.text).in_scope_score for example in TEXTS)


def test_unknown_words_around_a_known_one_lower_the_in_scope_score() -> None:
    """One word may lie far inside a class; the coverage shows that the class contains none of the others."""
    known, unknown = CLASSIFIER.predict("refund"), CLASSIFIER.predict("which kingdom minted a refund-shaped goldfish")
    assert unknown.ranked[0][0] == known.ranked[0][0] == "billing"
    assert unknown.in_scope_score < known.in_scope_score


def test_last_message_counts_beside_the_conversation() -> None:
    """The class depends on both: the same conversation with another last message, and the reverse."""
    dialogues = [
        ("billing", "customer: hello\ntriage: How can I help?\ncustomer: it was charged twice"),
        ("billing", "customer: my invoice\nbilling: Which number?\ncustomer: it is 4711"),
        ("returns", "customer: hello\ntriage: How can I help?\ncustomer: it has to go back"),
        ("returns", "customer: my parcel\nreturns: Which number?\ncustomer: it is 4711"),
    ]
    classifier = fit([parse_conversation(source) for _, source in dialogues], [label for label, _ in dialogues])

    def classify(source: str) -> str:
        example = parse_conversation(source)
        return classifier.rank(example.text, conversation=example.conversation)[0][0]

    assert [classify(source) for _, source in dialogues] == [label for label, _ in dialogues]
    assert classify("customer: the parcel\nreturns: Which number?\ncustomer: it is 12") == "returns"
    assert classify("customer: the invoice\nbilling: Which number?\ncustomer: it is 12") == "billing"
    assert classify("customer: hello\ntriage: How can I help?\ncustomer: charged twice") == "billing"


def test_embedding_decides_if_the_words_are_unknown() -> None:
    """Both parts add up to one score; without its embedding a text is scored by its words."""
    embeddings = np.eye(3, dtype=np.float32)[[list(EXAMPLES).index(label) for label in LABELS]]
    both = fit(TEXTS, LABELS, embeddings)
    assert both.rank("zzz", np.array([0, 0, 1], dtype=np.float32))[0][0] == "returns"
    assert both.rank("wifi")[0][0] == "technical"


@pytest.fixture(scope="module")
def scattered() -> Classifier:
    """Train on two classes with twelve clusters each, like examples that differ from another class' by one word."""
    embeddings = np.repeat(CENTRES, 8, axis=0) + np.random.default_rng(2).normal(scale=0.05, size=(192, 4))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = [parity(number) for number in range(24) for _ in range(8)]
    return fit([ConversationExample("the same words")] * 192, labels, embeddings.astype(np.float32))


def test_nearest_example_counts_if_no_boundary_separates_the_classes(scattered: Classifier) -> None:
    found = [scattered.rank("the same words", centre)[0][0] for centre in CENTRES]
    assert found == [parity(number) for number in range(24)]


def test_artefact_contains_the_examples(scattered: Classifier) -> None:
    intents = fit_intents([("hello", "greeting"), ("bye", "goodbye"), ("good bye", "goodbye")])
    decoded = decode(encode(RoutingModel("v", scattered, scattered, intents, 0.0, 0.0))).by_agent
    for centre in CENTRES:
        assert decoded.rank("the same words", centre)[0][0] == scattered.rank("the same words", centre)[0][0]


def test_examples_are_not_kept_if_boundaries_suffice() -> None:
    """They would only take memory and time."""
    embeddings = np.eye(3, dtype=np.float32)[[list(EXAMPLES).index(label) for label in LABELS]]
    classifier = fit(TEXTS, LABELS, embeddings)
    assert classifier.embedding is not None
    assert classifier.embedding.examples is None


def test_held_out_message_scores_below_a_training_example() -> None:
    """Held-out scores estimate those of unseen messages."""
    seen = np.mean([CLASSIFIER.predict(example.text).in_scope_score for example in TEXTS])
    assert held_out_scores(TEXTS, LABELS).mean() < seen


def test_last_line_of_the_customer_is_the_message_of_a_conversation() -> None:
    """The customer speaks first; text without a speaker is a single message, or continues the line above."""
    source = "User: hi\nBot: Yes?\nUser: my bill\nis wrong\nBot: Which one?"
    assert parse_conversation(source) == ConversationExample("my bill is wrong", source)
    assert parse_conversation("User: hi") == ConversationExample("hi")
    assert parse_conversation("my bill is wrong") == ConversationExample("my bill is wrong")
    assert parse_conversation("") == ConversationExample("")


def test_single_class_is_refused() -> None:
    """The error gives the reason."""
    with pytest.raises(TrainingError, match="at least two"):
        fit([ConversationExample("a"), ConversationExample("b")], ["x", "x"])

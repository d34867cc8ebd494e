"""The classifier behind routing, and what its training keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from trunkline_agents.core.routing.artefact import RoutingModel, decode, encode
from trunkline_agents.core.routing.classifier import Classifier
from trunkline_agents.core.routing.examples import ConversationExample, read_conversation
from trunkline_agents.core.routing.training import TrainingError, held_out_familiarity, learn

EXAMPLES = {
    "billing": ["I was charged twice", "refund my payment", "the invoice is wrong", "why was my card charged"],
    "technical": ["the wifi does not connect", "my camera is offline", "router keeps restarting", "wifi is slow"],
    "returns": ["send the lamp back", "where is my return label", "return the parcel", "exchange it for another size"],
}
TEXTS = [ConversationExample(text) for texts in EXAMPLES.values() for text in texts]
LABELS = [label for label, texts in EXAMPLES.items() for _ in texts]
CLASSIFIER = learn(TEXTS, LABELS)


PLACES = np.random.default_rng(1).normal(size=(24, 4)).astype(np.float32)
PLACES /= np.linalg.norm(PLACES, axis=1, keepdims=True)


def parity(number: int) -> str:
    return "odd" if number % 2 else "even"


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
    judged = CLASSIFIER.judge(text, conversation=f"customer: {text}")
    assert {name for name, _ in judged.ranked} == EXAMPLES.keys()
    assert np.isfinite([judged.familiarity, *(score for _, score in judged.ranked)]).all()


def test_strange_message_is_less_familiar_than_any_that_was_learnt() -> None:
    """The sign of a question about something else."""
    strange = CLASSIFIER.judge("who won the football championship of 1974").familiarity
    assert strange < min(CLASSIFIER.judge(said.text).familiarity for said in TEXTS)


def test_strange_words_around_a_known_one_make_a_message_strange() -> None:
    """One word may lie far inside a class; that the class knows none of the others tells."""
    known, strange = CLASSIFIER.judge("refund"), CLASSIFIER.judge("which kingdom minted a refund-shaped goldfish")
    assert strange.ranked[0][0] == known.ranked[0][0] == "billing"
    assert strange.familiarity < known.familiarity


def test_last_message_counts_beside_the_conversation() -> None:
    """The same words before it mean another thing with another message at the end, and the other way round."""
    talks = [
        ("billing", "customer: hello\ntriage: How can I help?\ncustomer: it was charged twice"),
        ("billing", "customer: my invoice\nbilling: Which number?\ncustomer: it is 4711"),
        ("returns", "customer: hello\ntriage: How can I help?\ncustomer: it has to go back"),
        ("returns", "customer: my parcel\nreturns: Which number?\ncustomer: it is 4711"),
    ]
    classifier = learn([read_conversation(talk) for _, talk in talks], [label for label, _ in talks])

    def meant(talk: str) -> str:
        said = read_conversation(talk)
        return classifier.ranked(said.text, conversation=said.conversation)[0][0]

    assert [meant(talk) for _, talk in talks] == [label for label, _ in talks]
    assert meant("customer: the parcel\nreturns: Which number?\ncustomer: it is 12") == "returns"
    assert meant("customer: the invoice\nbilling: Which number?\ncustomer: it is 12") == "billing"
    assert meant("customer: hello\ntriage: How can I help?\ncustomer: charged twice") == "billing"


def test_vectors_speak_where_words_are_silent() -> None:
    """Both parts add up to one score; without its vector a text is judged by its words."""
    vectors = np.eye(3, dtype=np.float32)[[list(EXAMPLES).index(label) for label in LABELS]]
    both = learn(TEXTS, LABELS, vectors)
    assert both.ranked("zzz", np.array([0, 0, 1], dtype=np.float32))[0][0] == "returns"
    assert both.ranked("wifi")[0][0] == "technical"


@pytest.fixture(scope="module")
def scattered() -> Classifier:
    """Learnt from two classes that are each in twelve places, as one whose examples differ from another's by a word."""
    vectors = np.repeat(PLACES, 8, axis=0) + np.random.default_rng(2).normal(scale=0.05, size=(192, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = [parity(number) for number in range(24) for _ in range(8)]
    return learn([ConversationExample("the same words")] * 192, labels, vectors.astype(np.float32))


def test_nearest_example_counts_where_no_border_parts_the_classes(scattered: Classifier) -> None:
    found = [scattered.ranked("the same words", place)[0][0] for place in PLACES]
    assert found == [parity(number) for number in range(24)]


def test_artefact_keeps_the_examples(scattered: Classifier) -> None:
    again = decode(encode(RoutingModel("v", scattered, scattered, 0.0, 0.0))).by_agent
    for place in PLACES:
        assert again.ranked("the same words", place)[0][0] == scattered.ranked("the same words", place)[0][0]


def test_examples_are_not_kept_where_borders_do() -> None:
    """They would only take memory and time."""
    vectors = np.eye(3, dtype=np.float32)[[list(EXAMPLES).index(label) for label in LABELS]]
    classifier = learn(TEXTS, LABELS, vectors)
    assert classifier.vector is not None
    assert classifier.vector.examples is None


def test_held_out_message_is_less_familiar_than_a_learnt_one() -> None:
    """It tells how familiar an unseen message will be."""
    seen = np.mean([CLASSIFIER.judge(said.text).familiarity for said in TEXTS])
    assert held_out_familiarity(TEXTS, LABELS).mean() < seen


def test_conversation_is_read_with_the_customers_last_line_as_its_message() -> None:
    """The customer speaks first; what has no speaker is a message alone, or goes on with the line above."""
    talk = "User: hi\nBot: Yes?\nUser: my bill\nis wrong\nBot: Which one?"
    assert read_conversation(talk) == ConversationExample("my bill is wrong", talk)
    assert read_conversation("User: hi") == ConversationExample("hi")
    assert read_conversation("my bill is wrong") == ConversationExample("my bill is wrong")
    assert read_conversation("") == ConversationExample("")


def test_one_class_is_refused_with_its_reason() -> None:
    """There is nothing to choose."""
    with pytest.raises(TrainingError, match="at least two"):
        learn([ConversationExample("a"), ConversationExample("b")], ["x", "x"])

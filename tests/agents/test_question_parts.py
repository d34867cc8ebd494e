"""Messages that ask several questions, and what a message continues."""

from __future__ import annotations

import pytest
from trunkline_agents.core.follow_up import FollowUp, follow_up_of
from trunkline_agents.core.question_parts import question_parts
from trunkline_protocols.context import Utterance


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "How do I return it and how long does the refund take?",
            ["How do I return it", "how long does the refund take?"],
        ),
        ("My light is amber, and the wifi is slow.", ["My light is amber", "the wifi is slow."]),
        ("Can I swap it? What about gifts?", ["Can I swap it?", "What about gifts?"]),
        ("It is broken. Can I swap it? What about gifts?", ["It is broken. Can I swap it?", "What about gifts?"]),
        ("Where is my order? Thanks!", []),
        ("My order was not late. It was the wrong item.", []),
        ("Do you sell salt and pepper?", []),
        ("", []),
        ("a" + " " * 7_990 + "b", []),
        (f"How long {' ' * 900} is the cable, and do you take cards?", ["How long is the cable", "do you take cards?"]),
    ],
)
def test_message_is_split_into_its_questions(text: str, parts: list[str]) -> None:
    """A statement belongs to the question after it; one question is not split."""
    assert question_parts(text) == parts


def exchange(question: str, answer: str, *documents: str) -> list[Utterance]:
    return [
        Utterance(role="customer", text=question),
        Utterance(role="agent", text=answer, specialty="billing", documents=list(documents)),
    ]


def test_follow_up_continues_the_last_question_that_was_answered() -> None:
    """Small talk in between does not end it; a correction drops the articles."""
    transcript = [*exchange("Where is my refund?", "It takes five days.", "refunds"), *exchange("ok", "Anything else?")]
    assert follow_up_of("and by card?", transcript) == FollowUp("Where is my refund?", ["refunds"])
    assert follow_up_of("No, I meant the parcel", transcript) == FollowUp("Where is my refund?", [])
    assert follow_up_of("Hello", []) == FollowUp()
    assert follow_up_of("The lamp", exchange("It is broken", "Which product?")) == FollowUp("It is broken")
    whole = "How many days do I have to return an item?"
    assert follow_up_of(whole, exchange("It is broken", "Which product?")) == FollowUp()

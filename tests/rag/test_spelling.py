"""Correction of typing mistakes towards the words of the articles."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st
from trunkline_rag.core.articles import Document
from trunkline_rag.core.fleet_words import fleet_words
from trunkline_rag.core.index import Index
from trunkline_rag.core.passages import split_document
from trunkline_rag.core.spelling import Speller

from tests.agents.builders import make_agent, small_fleet

SPELLER = Speller(
    [
        "The thermostat shows error E3. Connect it to the Wi-Fi. It is charged.",
        "Return a product, get a refund, pay with PayPal.",
    ],
    known=frozenset({"lamb", "retort"}),
)


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        ("thermastat wont conect", "thermostat wont connect"),
        ("how do i retrun a prodct", "how do i return a product"),
        ("REFNUD please", "refund please"),
        ("wfi", "wfi"),
        ("wiffi", "wifi"),
        ("error E4!", "error E4!"),
        ("a lamb", "a lamb"),
        ("my order", "my order"),
        ("a charger", "a charger"),
    ],
)
def test_unknown_word_becomes_the_nearest_word_of_the_articles(text: str, corrected: str) -> None:
    """Short words, codes and words that are known elsewhere stay."""
    assert SPELLER.correct(text) == corrected


@given(st.text())
def test_text_without_near_words_is_kept(text: str) -> None:
    """Whatever it contains; only letters are ever replaced."""
    corrected = SPELLER.correct(text)
    assert Speller([]).correct(text) == text
    assert [c for c in corrected if not c.isascii()] == [c for c in text if not c.isascii()]


def test_words_of_the_fleet_are_no_mistakes_and_are_corrected_to() -> None:
    """Also if an article has a similar word; a typing mistake of one example stays a mistake."""
    examples = ["renting a trailer", "is the trailer clean", "how do i retrun it"]
    agent = make_agent("billing", examples, title="Upholstery")
    fleet = msgspec.structs.replace(small_fleet(), agents=[msgspec.structs.replace(agent, examples=examples)])
    row = split_document(Document("a", "Cars", "Return from the trails with its upholster."), "default")
    assert Index(row).speller().correct("a trailer retrun") == "a trails return"
    speller = Index(row).speller(fleet=fleet_words(fleet))
    assert speller.correct("a trailer retrun") == "a trailer return"
    assert speller.correct("upholstery of the trailor") == "upholstery of the trailer"

"""Correction of typing mistakes towards the words of the articles."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from trunkline_rag.core.spelling import Speller

SPELLER = Speller(
    ["The thermostat shows error E3. Connect it to the Wi-Fi.", "Return a product, get a refund, pay with PayPal."],
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

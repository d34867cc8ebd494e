"""Sentence segmentation and index terms."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_language.sentences import sentences, without_markup
from trunkline_language.terms import terms

MARKDOWN = """# Refunds

A refund takes **5 working days**. See [the policy](https://fernwick.example/policy), e.g. for cards.

1. Open the app.
2. Tap `Orders`.

| a | b |
"""


@given(st.text(max_size=400))
def test_every_quote_is_a_substring_of_its_source(text: str) -> None:
    """The text is arbitrary."""
    assert all(sentence.quote in text for sentence in sentences(text))


def test_markup_is_in_the_quote_but_not_in_the_text() -> None:
    """Quotes are verbatim in the article, texts are readable. Headings and tables are skipped."""
    found = sentences(MARKDOWN)
    assert [sentence.text for sentence in found] == [
        "A refund takes 5 working days.",
        "See the policy, e.g. for cards.",
        "Open the app.",
        "Tap Orders.",
    ]
    assert found[0].quote == "A refund takes **5 working days**."
    assert [sentence.is_item for sentence in found] == [False, False, True, True]


def test_snake_case_names_survive() -> None:
    """Underscores inside a word are not emphasis."""
    assert without_markup("set api_key and base_url") == "set api_key and base_url"


def test_terms_are_stemmed_without_stop_words() -> None:
    """Two phrasings of a question have equal terms."""
    assert terms("I was charged twice for my orders") == terms("Charging me twice, for an order")

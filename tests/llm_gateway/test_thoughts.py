"""Thoughts of a model: separated wherever the text is cut, and nothing else is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st
from trunkline_llm_gateway.core.thoughts import ThoughtFilter, UnopenedThoughtError


def _shown(pieces: list[str], *, starts_inside: bool = False) -> str:
    thoughts = ThoughtFilter(starts_inside=starts_inside)
    return "".join([*(thoughts.add(piece) for piece in pieces), thoughts.end()])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<think>Hm.</think>\n\nYes.", "Yes."),
        ("\n<thinking>Hm. <b></thinking> Yes.", "\nYes."),
        ("[THINK]Hm.[/THINK]Yes [1].", "Yes [1]."),
        ("<thought>a</think>b</thought>Yes.", "Yes."),
        ("Yes. <think>Hm.</think> And no.", "Yes.  And no."),
        ("<think>Hm.</think><think>More.</think> Yes.", "Yes."),
        ("<think>never closed", ""),
        ("a < b, c <= d, <thin", "a < b, c <= d, <thin"),
        ("[1] and [TH", "[1] and [TH"),
    ],
)
def test_thoughts_are_removed_wherever_a_text_is_cut(text: str, shown: str) -> None:
    """With one cut at every position, and in single characters."""
    for cut in range(len(text) + 1):
        assert _shown([text[:cut], text[cut:]]).strip() == shown.strip()
    assert _shown(list(text)).strip() == shown.strip()
    assert _shown([text]).strip() == shown.strip()


@given(st.text("ab<>[/]thinkTHINK ", max_size=40), st.lists(st.integers(0, 40), max_size=8))
def test_text_without_tags_is_unchanged(text: str, cuts: list[int]) -> None:
    """Whatever resembles a tag."""
    places = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    if not any(tag in text for tag in ("<think>", "</think>", "[THINK]", "[/THINK]")):
        assert _shown(pieces) == text


def test_prefilled_thought_ends_at_its_closing_tag() -> None:
    """The opening tag is in the prompt; a text that ends before the closing one is all thought."""
    assert _shown(["The customer", " asks.</th", "ink>\nYes."], starts_inside=True) == "Yes."
    assert _shown(["The customer asks."], starts_inside=True) == ""


def test_thought_that_was_shown_is_an_error() -> None:
    """Unless nothing was: then the text before the tag is dropped."""
    assert _shown(["The customer asks.</think>Yes."]) == "Yes."
    thoughts = ThoughtFilter()
    assert thoughts.add("The customer") == "The customer"
    with pytest.raises(UnopenedThoughtError):
        thoughts.add(" asks.</think>Yes.")

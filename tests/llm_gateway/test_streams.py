"""Continuation of a text by another model."""

from __future__ import annotations

from hypothesis import assume, given, strategies as st
from trunkline_llm_gateway.core.continuation import MIN_ECHO_CHARACTERS, Continuation

characters = st.text(alphabet="ab. \n", max_size=60)


def continued(text: str, output: str, sizes: list[int]) -> str:
    """Return the new text if a model continues `text` with `output` in pieces of these sizes."""
    continuation, new, start = Continuation(text), "", 0
    for size in [*sizes, len(output)]:
        new += continuation.add(output[start : start + size])
        start += size
    return new + continuation.end()


@given(characters, st.integers(0, 60), st.lists(st.integers(1, 9), max_size=12))
def test_text_continued_at_any_position_is_unchanged(text: str, cut: int, sizes: list[int]) -> None:
    """The model is given the text without trailing white space, and may or may not write it again."""
    written, rest = text[:cut], text[cut:]
    prefix = Continuation(written).prefix
    assume(not (len(prefix) >= MIN_ECHO_CHARACTERS and text[len(prefix) :].lstrip().startswith(prefix)))
    assume(not (len(prefix) >= MIN_ECHO_CHARACTERS and rest.lstrip().startswith(prefix)))
    assert written + continued(written, text[len(prefix) :], sizes) == text


@given(st.lists(st.integers(1, 9), max_size=20))
def test_echo_of_the_prefix_is_not_repeated(sizes: list[int]) -> None:
    """Some models start from the beginning although they were asked to continue."""
    assert continued("Refunds take five ", "Refunds take five days.", sizes) == "days."
    assert continued("Refunds take five ", "\nRefunds take five days.", sizes) == "days."

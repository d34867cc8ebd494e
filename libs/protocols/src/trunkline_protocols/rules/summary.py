"""A conversation in its own words, a line for each thing that was said: the summary where no model writes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline_protocols.context import Utterance

_UTTERANCES: Final = 6
_CHARACTERS: Final = 240


def extract(text: str, transcript: Sequence[Utterance]) -> str:
    """Write down what whoever takes over should know: what was said last, and `text`, which the customer says now."""
    said = [*transcript[-_UTTERANCES:], Utterance(role="customer", text=text)]
    return "\n".join(line_of(utterance, longest=_CHARACTERS) for utterance in said)


def line_of(said: Utterance, *, longest: int) -> str:
    """Who said it, and how it begins: so many characters of it."""
    # Twice as much is enough to find so many characters that are no blanks; the text may be long.
    text = " ".join(said.text[: 2 * longest].split())
    whole = len(text) <= longest and len(said.text) <= 2 * longest
    return f"{said.specialty or said.role}: {text if whole else text[: longest - 1] + '…'}"

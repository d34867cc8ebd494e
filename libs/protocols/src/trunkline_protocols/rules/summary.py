"""Extractive summary of a conversation, one line per message; used if no model writes a summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline_protocols.context import Utterance

_MAX_UTTERANCES: Final = 6
_MAX_CHARACTERS: Final = 240


def extract(text: str, transcript: Sequence[Utterance]) -> str:
    """Return the last messages and the customer's current `text`, one line each."""
    utterances = [*transcript[-_MAX_UTTERANCES:], Utterance(role="customer", text=text)]
    return "\n".join(line_of(utterance, max_characters=_MAX_CHARACTERS) for utterance in utterances)


def line_of(utterance: Utterance, *, max_characters: int) -> str:
    """Return the author and the beginning of the text, truncated to `max_characters`."""
    # Twice the limit is enough to find that many characters that are not blanks; the text may be long.
    text = " ".join(utterance.text[: 2 * max_characters].split())
    is_whole = len(text) <= max_characters and len(utterance.text) <= 2 * max_characters
    author = utterance.specialty or utterance.role
    return f"{author}: {text if is_whole else text[: max_characters - 1] + '…'}"

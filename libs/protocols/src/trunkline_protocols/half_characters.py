"""Half characters: lone surrogates, which JSON escapes can write and UTF-8 cannot.

JSON escapes a character beyond the basic plane as two surrogates, a high half and a low half. A sender that cuts a text
between them writes the high half at the end of one string and the low half at the beginning of the next one. Halves
that meet are one character; a half that stays alone is U+FFFD, the replacement character.
"""

from __future__ import annotations

import re
from typing import Any, Final

_HALF: Final = re.compile("[\ud800-\udfff]")
_FIRST_HIGH: Final = "\ud800"
_LAST_HIGH: Final = "\udbff"


def join_halves(text: str) -> str:
    """Return the text with adjacent halves joined and lone halves replaced by U+FFFD."""
    if text.isascii() or _HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def join_halves_in(value: Any) -> Any:  # noqa: ANN401 - builtins of any shape
    """Return strings, lists and dicts, nested to any depth, with all their texts joined as by `join_halves`."""
    if isinstance(value, str):
        return join_halves(value)
    if isinstance(value, list):
        return [join_halves_in(each) for each in value]
    if isinstance(value, dict):
        return {join_halves_in(key): join_halves_in(each) for key, each in value.items()}
    return value


class HalfCharacterJoiner:
    """Joins halves across the pieces of one text: a high half at the end of a piece waits for the next piece."""

    def __init__(self) -> None:
        """Start at the beginning of a text."""
        self._held = ""

    def add(self, piece: str) -> str:
        """Take the next piece; return the text that is complete, which holds no half character."""
        if not self._held and (not piece or piece.isascii()):
            return piece
        text = self._held + piece
        self._held = text[-1] if _FIRST_HIGH <= text[-1] <= _LAST_HIGH else ""
        return join_halves(text[:-1] if self._held else text)

    def end(self) -> str:
        """Return U+FFFD if the text ends with half a character, else an empty text."""
        held, self._held = self._held, ""
        return join_halves(held)

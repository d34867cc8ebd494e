"""Texts of a fleet as an operator's terminal may show them, and as they are compared."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_NO_WORD: Final = re.compile(r"[\W_]+")


def printable(text: str) -> str:
    """Return a text on one line, without control characters: a fleet must not write to the operator's terminal."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)


def shortened(value: object, limit: int) -> str:
    """Return a value as one printable line of at most `limit` characters."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def comparable(text: str) -> str:
    """Return a text without case, punctuation and spacing; a text without letters and digits is returned as it is."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NO_WORD.sub(" ", folded.replace("'", "").replace("’", "")).strip() or text  # noqa: RUF001

"""Spans of personal data in a text, and the form of a text in which they are searched."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["card", "iban", "email", "phone", "id"]
KINDS: Final[Sequence[Kind]] = ("card", "iban", "email", "phone", "id")

_BLANK: Final = "\n"
"""Character that belongs to no personal data."""
_INVISIBLE: Final = "\u200b"
SEPARATOR: Final = rf"[\s.\-_{_INVISIBLE}]"
"""Character between two groups of a number, in a folded text."""


class Span(NamedTuple):
    """Personal data at `text[start:end]`."""

    start: int
    end: int
    kind: Kind


def folded(text: str) -> str:
    """Return a text of the same length with ASCII digits, dashes, spaces and letters in place of their variants."""
    return text if text.isascii() else "".join(map(_folded_character, text))


def blanked(text: str, spans: Iterable[Span]) -> str:
    """Return a text of the same length without the characters of spans, which are in reading order."""
    parts: list[str] = []
    end = 0
    for span in spans:
        parts += [text[end : span.start], _BLANK * (span.end - span.start)]
        end = span.end
    return "".join([*parts, text[end:]])


def blank_matches(pattern: re.Pattern[str], text: str) -> str:
    """Return a text of the same length without the matches of a pattern."""
    return pattern.sub(lambda match: _BLANK * len(match[0]), text)


@cache
def _folded_character(character: str) -> str:
    if character.isascii():
        return character
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    match unicodedata.category(character):
        case "Pd":
            return "-"
        case "Zs":
            return " "
        case "Cf":
            return _INVISIBLE
        case _:
            plain = unicodedata.normalize("NFKC", character)
            return plain if len(plain) == 1 else character

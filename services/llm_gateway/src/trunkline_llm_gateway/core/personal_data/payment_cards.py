"""Numbers of payment cards: the ranges and lengths of their networks, and the check digit by Luhn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from stdnum import luhn

from trunkline_llm_gateway.core.personal_data.spans import SEPARATOR, Span

_MIN_DIGITS: Final = 12
"""Length of the shortest cards, which must stand alone: with other characters beside them they are rather a code."""
_RUN: Final = re.compile(rf"[0-9](?:{SEPARATOR}{{0,3}}[0-9]){{{_MIN_DIGITS - 1},}}")
_GROUP: Final = re.compile(r"[0-9]+")

_NETWORKS: Final[tuple[tuple[re.Pattern[str], tuple[int, ...]], ...]] = tuple(
    (re.compile(prefix), lengths)
    for prefix, lengths in (
        (r"4", (19, 16, 13)),  # Visa
        (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
        (r"3[47]", (15,)),  # American Express
        (r"30[0-5]|3095|36|3[89]", (19, 18, 17, 16, 14)),  # Diners Club
        (r"6011|64[4-9]|65|62|81", (19, 18, 17, 16)),  # Discover, UnionPay
        (r"35[2-8]", (19, 18, 17, 16)),  # JCB
        (r"220[0-4]", (19, 18, 17, 16)),  # Mir
        (r"60|508|82|9792", (16,)),  # RuPay, Troy
        (r"5018|5020|5038|5[678]|6304|6390|67", (19, 18, 17, 16, 15, 14, 13, 12)),  # Maestro
    )
)


def find_cards(text: str) -> Iterator[Span]:
    """Yield the card numbers of a folded text; groups of digits may be separated, and other numbers stand beside.

    A number behind `+` is a telephone.
    """
    for run in _RUN.finditer(text):
        yield from _in_run(text, run.start(), run.end())


def _in_run(text: str, start: int, end: int) -> Iterator[Span]:
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    digits = "".join(text[first:last] for first, last in groups)
    ends: dict[int, int] = {}
    """Number of digits up to the end of a group -> its place in the text."""
    starts: list[tuple[int, int]] = []
    count = 0
    for first, last in groups:
        starts.append((count, first))
        count += last - first
        ends[count] = last
    taken = 0
    for offset, place in starts:
        if offset < taken or text[place - 1 : place] == "+":
            continue
        for length in _lengths(digits[offset : offset + 4]):
            if length == _MIN_DIGITS and (length < len(digits) or _touches_letters(text, start, end)):
                continue
            if offset + length in ends and luhn.is_valid(digits[offset : offset + length]):
                taken = offset + length
                yield Span(place, ends[taken], "card")
                break


def _touches_letters(text: str, start: int, end: int) -> bool:
    return text[start - 1 : start].isalpha() or text[end : end + 1].isalpha()


@lru_cache(maxsize=10_000)
def _lengths(prefix: str) -> tuple[int, ...]:
    """Return the lengths of the networks that a prefix of four digits belongs to, longest first."""
    found = [lengths for pattern, lengths in _NETWORKS if pattern.match(prefix)]
    return found[0] if len(found) == 1 else tuple(sorted({each for some in found for each in some}, reverse=True))

"""Detection of personal data in a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from trunkline_llm_gateway.core.personal_data.bank_accounts import find_ibans
from trunkline_llm_gateway.core.personal_data.email_addresses import find_emails
from trunkline_llm_gateway.core.personal_data.national_ids import find_national_ids
from trunkline_llm_gateway.core.personal_data.payment_cards import find_cards
from trunkline_llm_gateway.core.personal_data.phone_numbers import find_phones
from trunkline_llm_gateway.core.personal_data.spans import Span, blanked, folded

_DIGITS: Final = re.compile(r"\d(?:\D{0,4}\d){5}")
"""Digits close to each other, as in all personal data but addresses."""


def may_hold_personal_data(text: str) -> bool:
    """Return False for most texts without personal data; this costs little."""
    return "@" in text or _DIGITS.search(text) is not None


def find_personal_data(text: str, countries: Sequence[str]) -> list[Span]:
    """Return the personal data of a text in reading order, without overlaps.

    `countries` (ISO 3166, two letters) have national forms of telephone and identity numbers. A kind with a stronger
    check comes first: the digits of an account number are no telephone number.
    """
    if not may_hold_personal_data(text):
        return []
    remaining = folded(text)
    found: list[Span] = []
    for find in (find_emails, find_ibans, find_cards):
        remaining = _take(find(remaining), remaining, found)
    remaining = _take(find_national_ids(remaining, countries), remaining, found)
    _take(find_phones(remaining, countries), remaining, found)
    return sorted(found)


def _take(candidates: Iterable[Span], text: str, found: list[Span]) -> str:
    """Add the candidates, of overlapping ones the longest; return the text without them."""
    occupied = bytearray(len(text))
    taken: list[Span] = []
    for span in sorted(candidates, key=lambda span: (span.start - span.end, span.start)):
        if not any(occupied[span.start : span.end]):
            occupied[span.start : span.end] = b"\1" * (span.end - span.start)
            taken.append(span)
    found += taken
    return blanked(text, sorted(taken))

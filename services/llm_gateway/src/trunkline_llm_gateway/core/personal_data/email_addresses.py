"""E-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from trunkline_llm_gateway.core.personal_data.spans import Span

_DOMAIN: Final = re.compile(r"(?:[\w-]{1,63}\.)+(?:xn--[a-z0-9-]{1,59}|[^\W\d_]{2,63})", re.IGNORECASE)
_MARKS: Final = ".!#$%&'*+~^-"
"""Characters of a name beside letters, digits and `_`; others are legal, but mostly precede the address."""
_MAX_NAME: Final = 254


def find_emails(text: str) -> Iterator[Span]:
    """Yield the addresses of a folded text: from each `@`, the name before it and the domain behind it."""
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        start = _name_start(text, at)
        if domain and start < at:
            yield Span(start, domain.end(), "email")
        at = text.find("@", at + 1)


def _name_start(text: str, at: int) -> int:
    start = at
    while start > 0 and at - start < _MAX_NAME and _is_of_name(text[start - 1]):
        start -= 1
    while start < at and text[start] in _MARKS:
        start += 1
    return start


def _is_of_name(character: str) -> bool:
    return character.isalnum() or character == "_" or character in _MARKS

"""International bank account numbers: the length and form of their country, and two check digits by mod 97."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from stdnum import iban, numdb

from trunkline_llm_gateway.core.personal_data.spans import SEPARATOR, Span

_HEAD: Final = re.compile(r"(?:(?<=IBAN)|(?<![A-Z0-9]))[A-Z]{2}[0-9]{2}", re.IGNORECASE)
_NOT_ALPHANUMERIC: Final = re.compile(r"[^A-Z0-9]", re.IGNORECASE)
_COUNT: Final = re.compile(r"[0-9]+")


def find_ibans(text: str) -> Iterator[Span]:
    """Yield the account numbers of a folded text, in groups or not."""
    for head in _HEAD.finditer(text):
        body = _bodies().get(head[0][:2].upper())
        match = body.match(text, head.end()) if body is not None else None
        # The rules of single banks change more often than this package: form and mod 97 suffice.
        if match and iban.is_valid(_NOT_ALPHANUMERIC.sub("", head[0] + match[0]), check_country=False):
            yield Span(head.start(), match.end(), "iban")


@cache
def _bodies() -> Mapping[str, re.Pattern[str]]:
    """Return the pattern of the characters behind the check digits, by country."""
    registry = numdb.get("iban")
    found = {}
    for country in map("".join, itertools.product(string.ascii_uppercase, repeat=2)):
        form = registry.info(country)[0][1].get("bban", "")
        if form:
            length = sum(map(int, _COUNT.findall(form)))
            found[country] = re.compile(rf"(?:{SEPARATOR}{{0,2}}[A-Z0-9]){{{length}}}", re.IGNORECASE)
    return found

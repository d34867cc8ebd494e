"""Telephone numbers: the international form everywhere, the national form of given countries.

The national form is that of other numbers too: a date, an amount, and a number behind a word such as *order* are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher

from trunkline_llm_gateway.core.personal_data.spans import Span, blank_matches

_RUN: Final = re.compile(r"[0-9](?:[^0-9A-Za-z\n]{0,4}[0-9]){6,}")
"""Digits that may be telephone numbers: the search for these costs a millisecond on a sentence."""
_BEFORE: Final = 3
_BEHIND: Final = 9
"""Characters around a run that decide whether it is a number: brackets, `+`, a letter, a currency."""
_EXIT_CODE: Final = re.compile(r"(?<![0-9+])(?<![0-9][ )./-])00(?=[ -]?[1-9])")
"""Prefix of calls abroad in most countries, for which the international form has `+`."""
_NO_TELEPHONE: Final = re.compile(
    r"""
    (?<![0-9])(?:
        (?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2} (?:[ T]\d{1,2}:\d\d)?  # 2026-11-27 18:30
        | \d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d (?:\ \d{1,2}:\d\d)?  # 27.11.2026
        | (?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])      # 20261127
        | (?:0[1-9]|[12]\d|3[01]){2}(?:19|20)\d\d                   # 27112026 and 11272026
        | \d{5,}[.,]\d{1,2}                                          # 4948289.3
        | \d{1,3}(?:,\d{3})+(?:\.\d+)? | \d{1,3}(?:\.\d{3})+,\d+     # 1,234,567.89 and 1.234.567,89
        | \d+(?:[.,]\d{1,2})?\ ?(?:[$€£¥%]|(?:usd|eur|gbp|chf|dollars?|euros?|pounds?)\b)
        | \d{1,3}(?:\.\d{1,3}){3}(?!\d)(?=\b)                        # 192.168.0.12
    )(?![0-9])
    """,
    re.VERBOSE | re.IGNORECASE,
)

_MIN_DIGITS: Final = 7
"""Shorter numbers of a few countries are the rest of longer ones that were something else."""
_MAX_DISTANCE: Final = 60
"""Characters before a number in which a word says what it is."""
_REFERENCE_WORDS: Final = """
orders? purchase invoices? tracking parcel shipments? delivery reference ref cases? tickets? confirmation bookings?
reservations? serial models? accounts? acct? ac ids? policy claims? transactions? receipts? articles? parts? product
sku ean upc isbn imei ssn licen[cs]e vin zip code pin card version build barcode member(?:ship)? customer apn
bestell\\w* auftrag\\w* rechnung\\w* sendung\\w* kunden\\w* konto\\w* vorgang\\w* serien\\w* artikel\\w* vertrag\\w*
commande facture colis suivi compte client dossier pedido factura cuenta cliente env[ií]o ordine fattura conto
spedizione zam[oó]wieni\\w* faktur\\w* ordre
"""
_LINKS: Final = "numbers? num no nr nummer num[eé]ro n[uú]mero id code is was ist lautet est es the my"
"""Words between the kind of a number and the number."""
_REFERENCE: Final = re.compile(
    rf"""
    (?:
        \b(?:{"|".join(_REFERENCE_WORDS.split())})\b (?:[\s:.\#="'-] | \b(?:{"|".join(_LINKS.split())})\b)*
        | \#\s?
        | \b[A-Za-z]{{1,5}}-  # INV-4155550123
    )\Z
    """,
    re.VERBOSE | re.IGNORECASE,
)


def find_phones(text: str, countries: Sequence[str]) -> Iterator[Span]:
    """Yield the telephone numbers of a folded text.

    International numbers are found without a country; `countries` (ISO 3166, two letters) have national forms too.
    """
    for run in _RUN.finditer(text):
        first = max(0, run.start() - _BEFORE)
        window = text[first : run.end() + _BEHIND]
        searched = _EXIT_CODE.sub(" +", blank_matches(_NO_TELEPHONE, window))
        for country in countries or (None,):
            for match in PhoneNumberMatcher(searched, country, leniency=Leniency.VALID):
                if _is_international(match) or _is_telephone(text, first, match):
                    yield Span(first + _start(window, match), first + match.end, "phone")


def _start(window: str, match: PhoneNumberMatch) -> int:
    """Return the place of a number's first character: the first digit of an exit code, no bracket around the number."""
    number = match.raw_string
    if number.startswith("+") and window[match.start] == "0":
        return match.start - 1
    return match.start + (number.startswith("(") and ")" not in number)


def _is_international(match: PhoneNumberMatch) -> bool:
    return match.raw_string.lstrip("( ").startswith("+")


def _is_telephone(text: str, first: int, match: PhoneNumberMatch) -> bool:
    """Return whether a national number is a telephone, by its length and by what precedes it."""
    if sum(map(str.isdecimal, match.raw_string)) < _MIN_DIGITS:
        return False
    start = first + match.start
    return not _REFERENCE.search(text[max(0, start - _MAX_DISTANCE) : start])

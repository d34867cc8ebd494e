"""National identity and tax numbers with check digits or a form of their own, by the country that issues them.

Only numbers that ordinary texts hardly contain by chance: a Dutch BSN or a British NHS number is any ten-digit order
number with a chance of one in ten, and is left out. A number whose check is weak must be written with its separators.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from stdnum.at import vnr
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ch import ssn as ahv
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.us import ssn

from trunkline_llm_gateway.core.personal_data.spans import Span


class _Scheme(NamedTuple):
    form: re.Pattern[str]
    is_valid: Callable[[str], bool]


def _scheme(form: str, is_valid: Callable[[str], bool]) -> _Scheme:
    return _Scheme(re.compile(rf"(?<![\w+-])(?:{form})(?![\w-])", re.IGNORECASE), is_valid)


_SCHEMES: Final[dict[str, tuple[_Scheme, ...]]] = {
    "AT": (_scheme(r"\d{4} \d{6}", vnr.is_valid),),
    "BE": (_scheme(r"\d{2}\.?\d{2}\.?\d{2}[- ]?\d{3}[. ]?\d{2}", nn.is_valid),),
    "BR": (_scheme(r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}", cpf.is_valid),),
    "CH": (_scheme(r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", ahv.is_valid),),
    "CZ": (_scheme(r"\d{6}/\d{4}", rc.is_valid),),
    "DE": (_scheme(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", idnr.is_valid),),
    "DK": (_scheme(r"\d{6}-\d{4}", cpr.is_valid),),
    "ES": (_scheme(r"\d{8}[- ]?[a-z]", dni.is_valid), _scheme(r"[xyz]-?\d{7}-?[a-z]", nie.is_valid)),
    "FI": (_scheme(r"\d{6}[-+a]\d{3}[0-9a-z]", hetu.is_valid),),
    "FR": (_scheme(r"[12] ?\d{2} ?\d{2} ?[\dab]{2} ?\d{3} ?\d{3} ?\d{2}", nir.is_valid),),
    "IT": (_scheme(r"[a-z]{6} ?[\da-z]{2} ?[a-z][\da-z]{2} ?[a-z][\da-z]{3} ?[a-z]", codicefiscale.is_valid),),
    "NO": (_scheme(r"\d{6} ?\d{5}", fodselsnummer.is_valid),),
    "PL": (_scheme(r"\d{11}", pesel.is_valid),),
    "SE": (_scheme(r"(?:\d{2})?\d{6}[-+]\d{4}", personnummer.is_valid),),
    "US": (_scheme(r"\d{3}-\d{2}-\d{4}", ssn.is_valid),),
}


def find_national_ids(text: str, countries: Iterable[str]) -> Iterator[Span]:
    """Yield the numbers of these countries (ISO 3166, two letters) in a folded text."""
    for country in countries:
        for scheme in _SCHEMES.get(country, ()):
            for match in scheme.form.finditer(text):
                if scheme.is_valid(match[0]):
                    yield Span(match.start(), match.end(), "id")

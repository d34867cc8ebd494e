"""Countries whose forms of telephone and identity numbers a conversation may use, by its locale."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from phonenumbers import SUPPORTED_REGIONS

_TERRITORY: Final = re.compile(r"[-_]([A-Za-z]{2})(?:[-_.@]|\Z)")

_BY_LANGUAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("US", "GB"),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR", "BE", "CH"),
    "es": ("ES", "MX"),
    "it": ("IT", "CH"),
    "pt": ("BR", "PT"),
    "nl": ("NL", "BE"),
    "pl": ("PL",),
    "cs": ("CZ",),
    "sv": ("SE",),
    "da": ("DK",),
    "nb": ("NO",),
    "no": ("NO",),
    "fi": ("FI",),
    "ja": ("JP",),
    "tr": ("TR",),
}
"""Countries of a locale without a territory, those with most speakers first."""


def is_country(code: str) -> bool:
    """Return whether a code names a country with telephone numbers (ISO 3166, two capital letters)."""
    return code in SUPPORTED_REGIONS


def countries_of(locale: str, configured: Iterable[str]) -> tuple[str, ...]:
    """Return the country of a locale such as `de-AT`, else those of its language, and the configured ones."""
    territory = _TERRITORY.search(locale)
    if territory and is_country(territory[1].upper()):
        own: tuple[str, ...] = (territory[1].upper(),)
    else:
        own = _BY_LANGUAGE.get(re.split(r"[-_]", locale, maxsplit=1)[0].lower(), ())
    return tuple(dict.fromkeys([*own, *configured]))

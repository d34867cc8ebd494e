"""Texts for a customer who writes in a language that the fleet does not serve: a polite reply, and emergencies."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Final

import msgspec

_PLACEHOLDER: Final = "{languages}"
_OTHER: Final = (
    "We can only answer in these languages here: {languages}. Please write in one of them, or ask to speak to a person."
)
_OTHER_EMERGENCY: Final = "If somebody is in danger, call the emergency number of your country at once (112 in Europe)."
_JOINED: Final = re.compile("[\u0590-\u06ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Hebrew, Arabic, kana, Han and Hangul: words of these scripts have prefixes or suffixes, or no blanks around them."""

_PUNCTUATION: Final = re.compile(r"""[\s!"#$%&()*+,./:;<=>?@\[\]^_`{|}~¡¿«»„“”…。、\uff01\uff1f।]+""")
_OPEN_END: Final = "*"


class LanguageTexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Texts by language (ISO 639-1)."""

    names: dict[str, str]
    """Name of each language in itself."""
    replies: dict[str, str]
    """Reply in each language, with a placeholder for the languages that are served."""
    emergencies: dict[str, str]
    """Line in each language that names the emergency number."""
    dangers: dict[str, list[str]]
    """Phrases in each language that mean an emergency wherever they occur."""

    def unserved(self, language: str, served: Sequence[str]) -> str:
        """Return the reply to a message in `language`, in that language if there is a translation."""
        names = ", ".join(self.names.get(code, code) for code in served)
        return f"{self.replies.get(language, _OTHER).replace(_PLACEHOLDER, names)} {self.emergency(language)}"

    def emergency(self, language: str) -> str:
        """Return the line about emergencies, in `language` if there is a translation."""
        return self.emergencies.get(language, _OTHER_EMERGENCY)

    def language_of_danger(self, text: str, served: Collection[str]) -> str:
        """Return the unserved language in which a text certainly speaks of danger; an empty string if it does not.

        Phrases count in every language: a message of two words is too short to know its language.
        """
        plain = _plain(text)
        found = (language for language, parts in self._needles.items() if any(part in plain for part in parts))
        return next((language for language in found if language not in served), "")

    @cached_property
    def _needles(self) -> dict[str, list[str]]:
        """The phrases as parts of plain texts: comparing them so takes a twentieth of a regular expression's time."""
        return {language: [_needle(phrase) for phrase in phrases] for language, phrases in self.dangers.items()}


def _needle(phrase: str) -> str:
    plain = _plain(phrase)
    if _JOINED.search(phrase):
        return plain.strip()
    return plain.rstrip() if phrase.endswith(_OPEN_END) else plain


def _plain(text: str) -> str:
    """Return the words of a text in lower case, each between single blanks."""
    folded = unicodedata.normalize("NFC", text).casefold().replace("\u2019", "'")
    return f" {_PUNCTUATION.sub(' ', folded).strip()} "

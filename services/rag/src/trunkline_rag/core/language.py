"""Language of a message, if it is certainly none of those that are served."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

_LANGUAGES: Final = (
    *("ar", "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja"),
    *("ko", "lt", "lv", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "th", "tr", "uk", "vi", "zh"),
)
_MIN_WORDS: Final = 3
_MIN_LETTERS: Final = 3
"""Letters that a message in another script than Latin needs."""

_MIN_LEAD: Final = 18.5
"""Lead over every served language in log probability; English with typing mistakes stays below it."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_LATIN: Final = re.compile(r"[A-Za-z\u00c0-\u024f]")


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(_LANGUAGES))
    return identifier


def load_model() -> None:
    """Load the model, which takes a second and 100 MiB, before the first message needs it."""
    _identifier()


def foreign_language(text: str, served: Collection[str]) -> str:
    """Return the language (ISO 639-1) of a text; an empty string if it is served, not certain or the text too short."""
    if not served:
        return ""
    words = _WORD.findall(text)
    letters = "".join(words)
    latin = len(_LATIN.findall(letters))
    if latin * 2 > len(letters):
        if len(words) < _MIN_WORDS:
            return ""
    elif len(letters) < _MIN_LETTERS:
        return ""
    scores = {str(language): float(score) for language, score in _identifier().rank(text)}
    best = max(scores, key=lambda language: scores[language])
    lead = scores[best] - max((scores[language] for language in served if language in scores), default=float("-inf"))
    return best if best not in served and lead >= _MIN_LEAD else ""

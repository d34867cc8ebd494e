"""Correction of typing mistakes in questions, towards the vocabulary of the articles.

A word is corrected if neither the articles nor the embedder's vocabulary know it, and a word of the articles is close
enough and more than another form of it. Words with digits are codes and stay as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from rapidfuzz.distance import DamerauLevenshtein
from rapidfuzz.process import extract
from trunkline_language.terms import tokenize

_MIN_LENGTH: Final = 4
_MIN_TWO_EDITS: Final = 7
"""From this length on, a word may differ in two places; a shorter one only in one."""

_WORD: Final = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?")
_HYPHENATED: Final = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)+")
_DOERS: Final = ("er", "or")
_INFLECTIONS: Final = ("ed", "es", "en")
"""A "charger" is no mistaken "charged", although neither the articles nor the encoder's vocabulary have the word."""
_CANDIDATES: Final = 5
_CACHED_WORDS: Final = 10_000


class Speller:
    """Corrects the words of texts. Immutable."""

    def __init__(self, texts: Iterable[str], known: frozenset[str] = frozenset()) -> None:
        """Take the vocabulary from `texts`; `known` are further words that are no mistakes."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(tokenize(text))
            # "wifi" is the usual spelling of a word that articles write as "Wi-Fi".
            counts.update(joined.replace("-", "").lower() for joined in _HYPHENATED.findall(text))
        self._counts = counts
        self._known = known
        self._by_initial: dict[str, list[str]] = {}
        for word in counts:
            if len(word) >= _MIN_LENGTH and word.isalpha():
                self._by_initial.setdefault(word[0], []).append(word)
        self._correction = lru_cache(maxsize=_CACHED_WORDS)(self._find_correction)

    def correct(self, text: str) -> str:
        """Return the text with its mistakes corrected; other characters stay as they are."""
        return _WORD.sub(lambda match: self._correction(match[0].lower()) or match[0], text)

    def _find_correction(self, word: str) -> str:
        """Return the correction of a word in lower case, an empty string if it needs none or has none."""
        if len(word) < _MIN_LENGTH or word in self._counts or word in self._known or "'" in word:
            return ""
        edits = 2 if len(word) >= _MIN_TWO_EDITS else 1
        # The first letter is hardly ever wrong, and comparing a tenth of the words takes a tenth of the time.
        candidates = self._by_initial.get(word[0], [])
        found = extract(word, candidates, scorer=DamerauLevenshtein.distance, score_cutoff=edits, limit=_CANDIDATES)
        near = [(each, distance) for each, distance, _ in found if not _is_other_form(word, each)]
        if not near:
            return ""
        best = min(distance for _, distance in near)
        return max((each for each, distance in near if distance == best), key=lambda each: self._counts[each])


def _is_other_form(word: str, other: str) -> bool:
    """Return whether a word names the thing or person that does the other one."""
    return word[:-2] == other[:-2] and word.endswith(_DOERS) and other.endswith(_INFLECTIONS)

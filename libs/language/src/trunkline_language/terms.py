"""Words of a text, and its index terms: normalised, stemmed, without stop words.

Text is normalised by Unicode: compatibility forms, case and combining marks do not count. Runs of a script without
blanks (Han, kana, Thai …) become pairs of characters.

Stemming happens here because the stemmer setting of Milvus has no effect.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

import Stemmer

_ASCII_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W\d_]+)?")
_APOSTROPHES: Final = str.maketrans("\u2018\u2019\u02bc", "'''")
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
"""Thai, Lao, Burmese, Khmer, kana and Han: scripts that are written without blanks between words."""

_STOP_WORDS: Final = frozenset(
    """
    a about after again all also am an and any are as at be because been before being between both but by can could
    did do does doing done down during each else ever every few for from further get gets getting got had has have
    having he hello help her here hers hi him his how i i'd i'll i'm i've if in into is isn't it it's its itself
    just know let like me might more most much must my myself need no nor not now of off on once one only or other
    our ours out over own please pls same she should so some still such tell than thank thanks that that's the their
    theirs them then there these they this those through to too under until up us very want wants was we were what
    what's when where which while who whom why will with without would yes you you'd you'll you're you've your yours
    """.split()  # noqa: SIM905 - a list of two hundred words reads better without quotes
)
_STEMMER: Final = Stemmer.Stemmer("english")


def tokenize(text: str) -> list[str]:
    """Split a text into words of letters and digits, in lower case and without diacritics."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [part for word in _WORD.findall(_normalised(text)) for part in _split_unspaced(word)]


def _normalised(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.translate(_APOSTROPHES)).casefold()
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _split_unspaced(word: str) -> Iterator[str]:
    """Yield a word as it is, and runs of unspaced scripts in it as pairs of characters."""
    start = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > start:
            yield word[start : run.start()]
        yield from map("".join, pairwise(run[0])) if len(run[0]) > 1 else (run[0],)
        start = run.end()
    if start < len(word):
        yield word[start:]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return the stem of a word in lower case."""
    stemmed: str = _STEMMER.stemWord(word.removesuffix("'s"))
    return stemmed


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, with repetitions."""
    return [stem(word) for word in tokenize(text) if word not in _STOP_WORDS]


def function_word_share(text: str) -> float:
    """Return the share (0 to 1) of English function words in a text: some 0.4 of English prose, near 0 of others."""
    words = tokenize(text)
    return sum(word in _STOP_WORDS for word in words) / len(words) if words else 0.0

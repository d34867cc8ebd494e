"""Words of a text, and its index terms: normalised, stemmed, without stop words.

Text is normalised by Unicode: compatibility forms, case, accents and invisible characters do not count. Runs of a
script without blanks (Han, kana, Thai …), and of Hangul, whose words end in particles, become pairs of characters.

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
_INVISIBLE: Final = dict.fromkeys(
    [0xAD, 0x34F, 0x61C, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065)]
)
"""Soft hyphens, joiners, and marks of direction: they are inside of words but no part of them."""

_APOSTROPHES: Final = str.maketrans("\u2018\u2019\u02bc", "'''")
_CHARACTERS: Final = {**_INVISIBLE, **_APOSTROPHES}
_POINTS: Final = range(10, 37)
_ABOVE_AND_BELOW: Final = range(200, 256)
"""Combining classes of the vowel points of Hebrew and Arabic, and of accents."""

_COMBINING: Final = tuple(
    mark
    for mark in map(chr, (*range(0x300, 0x3100), *range(0xFE20, 0xFE30)))
    if unicodedata.category(mark) in {"Mn", "Mc"}
)
_ACCENTS: Final = "".join(
    mark for mark in _COMBINING if (class_ := unicodedata.combining(mark)) in _POINTS or class_ in _ABOVE_AND_BELOW
)
# The short i of Cyrillic decomposes, but is no accented letter.
_ACCENT: Final = re.compile(rf"(?<!\u0438)\u0306|[{_ACCENTS.replace(chr(0x306), '')}]")
_MARKS: Final = "".join(mark for mark in _COMBINING if mark not in _ACCENTS)
"""Vowel signs and the like: parts of words that Python does not take for letters."""

_WORD: Final = re.compile(rf"(?:[^\W_][{_MARKS}]*)+(?:'[^\W\d_]+)?")
_ELISION: Final = re.compile(r"(?<![^\W_])(?:[cdjlmnst]|qu|dell|nell|sull)'(?=[^\W\d_]{3})")
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)
"""Thai, Lao, Burmese, Khmer, kana, Han and Hangul."""

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
_ENGLISH: Final = Stemmer.Stemmer("english")
_STEMMERS: Final = (
    (range(0x370, 0x400), Stemmer.Stemmer("greek")),
    (range(0x400, 0x530), Stemmer.Stemmer("russian")),
    (range(0x530, 0x590), Stemmer.Stemmer("armenian")),
    (range(0x600, 0x700), Stemmer.Stemmer("arabic")),
    (range(0x900, 0x980), Stemmer.Stemmer("hindi")),
    (range(0xB80, 0xC00), Stemmer.Stemmer("tamil")),
)
"""Stemmers by the script of a word, as ranges of code points; words of other scripts are stemmed as English."""


def tokenize(text: str) -> list[str]:
    """Split a text into words of letters and digits, in lower case and without accents."""
    if text.isascii():
        return _ASCII_WORD.findall(_without_elisions(text.lower()))
    words = _WORD.findall(_without_elisions(_normalised(text)))
    return [part for word in words for part in _split_unspaced(word)]


def _without_elisions(text: str) -> str:
    """Remove elided articles and pronouns (`l'`, `qu'`), which would make another word of the one after them."""
    return _ELISION.sub("", text) if "'" in text else text


def _normalised(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.translate(_CHARACTERS)).casefold()
    return unicodedata.normalize("NFC", _ACCENT.sub("", decomposed))


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
    stemmed: str = _stemmer(word).stemWord(word.removesuffix("'s"))
    return stemmed


def _stemmer(word: str) -> Stemmer.Stemmer:
    script = ord(word[0]) if word else 0
    return _ENGLISH if script < _STEMMERS[0][0].start else _other_stemmer(script)


def _other_stemmer(script: int) -> Stemmer.Stemmer:
    return next((stemmer for letters, stemmer in _STEMMERS if script in letters), _ENGLISH)


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, with repetitions."""
    return [stem(word) for word in tokenize(text) if word not in _STOP_WORDS]


def function_word_share(text: str) -> float:
    """Return the share (0 to 1) of English function words in a text: some 0.4 of English prose, near 0 of others."""
    words = tokenize(text)
    return sum(word in _STOP_WORDS for word in words) / len(words) if words else 0.0

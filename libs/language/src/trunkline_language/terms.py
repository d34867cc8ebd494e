"""Words of a text, and its index terms: lower case, stemmed, without stop words.

Stemming happens here because the stemmer setting of Milvus has no effect.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import Stemmer

_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
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
    """Split a text into lower-case words of ASCII letters and digits."""
    return _WORD.findall(text.lower())


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return the stem of a word in lower case."""
    stemmed: str = _STEMMER.stemWord(word.removesuffix("'s"))
    return stemmed


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, with repetitions."""
    return [stem(word) for word in tokenize(text) if word not in _STOP_WORDS]

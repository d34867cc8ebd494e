"""Text as hashed n-grams, in two blocks: words (as written and stemmed, alone and in pairs) and characters 2 to 5.

No vocabulary has to be kept. Each block is brought to its own weight, so that the many n-grams of characters, which
forgive typos, do not drown the few of words, which carry the meaning.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from trunkline_language.terms import stem

BLOCK: Final = 1 << 19
"""Dimensions of a block: words below, characters above."""

_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_SHORTEST, _LONGEST = 2, 5
_SKIPPED: Final = (2, 3)
_WORDS_WEIGHT, _CHARACTERS_WEIGHT = 0.793, 0.609  # as 1.3 to 1, together of length one
_MOST_WORDS: Final = 200
"""A message may be a page long; what it is about stands in the first hundred words, and triage has a millisecond."""


def words(text: str) -> list[str]:
    """Words of a text, in lower case."""
    return _WORD.findall(text.lower())


def word_ngrams(found: list[str]) -> list[str]:
    """Words and stems, pairs of neighbours, and pairs with one or two words between them."""
    stems = [stem(word) for word in found]
    grams = [f"w{word}" for word in found]
    grams += [f"s{word}" for word in stems]
    grams += [f"p{first} {second}" for first, second in pairwise(stems)]
    grams += [f"k{first} {second}" for gap in _SKIPPED for first, second in zip(stems, stems[gap:], strict=False)]
    return grams


def character_ngrams(found: list[str]) -> list[str]:
    """All runs of 2 to 5 characters, also over the borders of words."""
    line = f" {' '.join(found)} " if found else ""
    return [
        line[start : start + size] for size in range(_SHORTEST, _LONGEST + 1) for start in range(len(line) - size + 1)
    ]


@lru_cache(maxsize=64)
def counts(text: str) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Hashed n-grams of a text: which dimensions, and 1 + log(how often); to be read only.

    A turn asks several times for the same text: for the specialty, and for the agent in it.
    """
    found = words(text)[:_MOST_WORDS]
    hashed = Counter([crc32(gram.encode()) % BLOCK for gram in word_ngrams(found)])
    hashed.update([crc32(gram.encode()) % BLOCK + BLOCK for gram in character_ngrams(found)])
    dimensions = np.fromiter(hashed.keys(), dtype=np.intp, count=len(hashed))
    often = np.fromiter(hashed.values(), dtype=np.float32, count=len(hashed))
    weights = (1.0 + np.log(often)).astype(np.float32)
    dimensions.setflags(write=False)
    weights.setflags(write=False)
    return dimensions, weights


def balanced(dimensions: NDArray[np.intp], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring both blocks to their weight, whatever the length of the text."""
    are_words = dimensions < BLOCK
    squares = values * values
    of_words = float(squares[are_words].sum()) ** 0.5
    of_characters = float(squares[~are_words].sum()) ** 0.5
    scaled: NDArray[np.float32] = values * np.where(
        are_words, _WORDS_WEIGHT / max(of_words, 1e-9), _CHARACTERS_WEIGHT / max(of_characters, 1e-9)
    ).astype(np.float32)
    return scaled

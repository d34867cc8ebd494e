"""Text as hashed n-grams, in two blocks: words (as written and stemmed, alone and in pairs) and characters 2 to 5.

No vocabulary has to be kept. Each block is brought to its own weight, so that the many n-grams of characters, which
forgive typos, do not drown the few of words, which carry the meaning. The conversation that a message stands in has two
blocks of its own: what was said last weighs as much as all that was said.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from trunkline_language.terms import stem

BLOCK: Final = 1 << 19
"""Dimensions of a block: the message's words, its characters, the conversation's words, its characters."""

DIMENSIONS: Final = 4 * BLOCK

_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_SHORTEST, _LONGEST = 2, 5
_SKIPPED: Final = (2, 3)
_WEIGHTS: Final = np.array([0.793, 0.609] * 2)
"""Of the blocks: words to characters as 1.3 to 1, together of length one."""

_MOST_WORDS: Final = 400
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


def counts(text: str, conversation: str = "") -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Hashed n-grams of a text, and of the conversation it ends: which dimensions, and 1 + log(how often)."""
    hashed = _hashed(words(text)[:_MOST_WORDS], 0)
    if conversation:
        hashed.update(_hashed(words(conversation)[-_MOST_WORDS:], 2 * BLOCK))
    dimensions = np.fromiter(hashed.keys(), dtype=np.intp, count=len(hashed))
    often = np.fromiter(hashed.values(), dtype=np.float32, count=len(hashed))
    return dimensions, (1.0 + np.log(often)).astype(np.float32)


def _hashed(found: list[str], start: int) -> Counter[int]:
    hashed = Counter([start + crc32(gram.encode()) % BLOCK for gram in word_ngrams(found)])
    hashed.update([start + BLOCK + crc32(gram.encode()) % BLOCK for gram in character_ngrams(found)])
    return hashed


def characters_of_message(dimensions: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which dimensions are n-grams of the message's own characters."""
    return (dimensions >= BLOCK) & (dimensions < 2 * BLOCK)


def balanced(dimensions: NDArray[np.intp], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring every block to its weight, whatever the length of the text."""
    block = dimensions // BLOCK
    lengths = np.sqrt(np.bincount(block, values * values, minlength=len(_WEIGHTS)))
    scaled: NDArray[np.float32] = values * (_WEIGHTS / np.maximum(lengths, 1e-9)).astype(np.float32)[block]
    return scaled

"""Text as hashed n-grams, in two blocks: words (as written and stemmed, alone and in pairs) and characters 2 to 5.

No vocabulary has to be kept. Each block is brought to its own weight, so that the many n-grams of characters, which
forgive typos, do not drown the few of words, which carry the meaning. The conversation that a message stands in has two
blocks of its own: what was said last weighs as much as all that was said.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from trunkline_language.terms import stem

_BLOCK_BITS: Final = 19
BLOCK: Final = 1 << _BLOCK_BITS
"""Dimensions of a block: the message's words, its characters, the conversation's words, its characters."""

DIMENSIONS: Final = 4 * BLOCK

_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_LONGEST: Final = 5
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
"""Fibonacci hashing: the upper bits of the product with 2^64 through the golden ratio are spread evenly."""

_NOTHING: Final = np.empty(0, dtype=np.uint64)
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


@lru_cache(maxsize=64)
def counts(text: str, conversation: str = "") -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Hashed n-grams of a text, and of the conversation it ends: which dimensions, and 1 + log(how often); read-only.

    A turn asks several times for the same text: for the specialty, and for the agent in it.
    """
    hashed = _hashed(words(text)[:_MOST_WORDS])
    if conversation:
        hashed = np.concatenate([hashed, 2 * BLOCK + _hashed(words(conversation)[-_MOST_WORDS:])])
    dimensions, often = np.unique(hashed, return_counts=True)
    values = (1.0 + np.log(often)).astype(np.float32)
    dimensions.setflags(write=False)
    values.setflags(write=False)
    return dimensions, values


def _hashed(found: list[str]) -> NDArray[np.intp]:
    of_words = [crc32(gram.encode()) % BLOCK for gram in word_ngrams(found)]
    return np.concatenate([np.array(of_words, dtype=np.intp), BLOCK + _characters(found)])


def _characters(found: list[str]) -> NDArray[np.intp]:
    """All runs of 2 to 5 characters, also over the borders of words. In one go: a long text has thousands."""
    line = np.frombuffer(f" {' '.join(found)} ".encode(), dtype=np.uint8).astype(np.uint64) if found else _NOTHING
    run, runs = line, []
    for size in range(2, _LONGEST + 1):
        # Words are ASCII, so a run is a number of as many bytes, and no two runs are the same.
        run = (run[:-1] << np.uint64(8)) | line[size - 1 :]
        runs.append(run)
    return (np.concatenate(runs) * _GOLDEN >> np.uint64(64 - _BLOCK_BITS)).astype(np.intp)


def characters_of_message(dimensions: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which dimensions are n-grams of the message's own characters."""
    return (dimensions >= BLOCK) & (dimensions < 2 * BLOCK)


def balanced(dimensions: NDArray[np.intp], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring every block to its weight, whatever the length of the text."""
    block = dimensions // BLOCK
    lengths = np.sqrt(np.bincount(block, values * values, minlength=len(_WEIGHTS)))
    scaled: NDArray[np.float32] = values * (_WEIGHTS / np.maximum(lengths, 1e-9)).astype(np.float32)[block]
    return scaled

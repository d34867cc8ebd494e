"""Feature extraction: text as hashed word n-grams (plain, stemmed, paired) and character n-grams (2 to 5 characters).

Hashing needs no vocabulary. Words and characters form separate blocks, each scaled to its own weight, so that the many
character n-grams, which tolerate typos, do not outweigh the few word n-grams, which carry the meaning. The conversation
that precedes a message has two more blocks: the last message weighs as much as the whole conversation.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from trunkline_language.terms import stem, tokenize

_BLOCK_BITS: Final = 19
BLOCK_SIZE: Final = 1 << _BLOCK_BITS
"""Dimensions per block: message words, message characters, conversation words, conversation characters."""

DIMENSIONS: Final = 4 * BLOCK_SIZE

_MAX_CHARACTERS: Final = 5
_HASH_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
"""Fibonacci hashing: 2^64 divided by the golden ratio distributes the upper bits of the product evenly."""

_EMPTY: Final = np.empty(0, dtype=np.uint64)
_SKIP_GAPS: Final = (2, 3)
_BLOCK_WEIGHTS: Final = np.array([0.793, 0.609] * 2)
"""Words to characters in the ratio 1.3 to 1, each pair of unit length."""

_MAX_WORDS: Final = 400
"""A message may be a page long; its topic is in the first hundred words, and triage has a budget of one millisecond."""


def word_ngrams(tokens: list[str]) -> list[str]:
    """Return words, stems, adjacent pairs of stems, and pairs with one or two words in between."""
    stems = [stem(token) for token in tokens]
    grams = [f"w{token}" for token in tokens]
    grams += [f"s{token}" for token in stems]
    grams += [f"p{first} {second}" for first, second in pairwise(stems)]
    grams += [f"k{first} {second}" for gap in _SKIP_GAPS for first, second in zip(stems, stems[gap:], strict=False)]
    return grams


@lru_cache(maxsize=64)
def hashed_counts(text: str, conversation: str = "") -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the dimensions of a text and its conversation, and 1 + log(count) for each; both arrays are read-only.

    Cached because one turn scores the same text several times: for the specialty and for the agent in it.
    """
    hashes = _hash_tokens(tokenize(text)[:_MAX_WORDS])
    if conversation:
        hashes = np.concatenate([hashes, 2 * BLOCK_SIZE + _hash_tokens(tokenize(conversation)[-_MAX_WORDS:])])
    dimensions, occurrences = np.unique(hashes, return_counts=True)
    values = (1.0 + np.log(occurrences)).astype(np.float32)
    dimensions.setflags(write=False)
    values.setflags(write=False)
    return dimensions, values


def _hash_tokens(tokens: list[str]) -> NDArray[np.intp]:
    word_hashes = [crc32(gram.encode()) % BLOCK_SIZE for gram in word_ngrams(tokens)]
    return np.concatenate([np.array(word_hashes, dtype=np.intp), BLOCK_SIZE + _hash_characters(tokens)])


def _hash_characters(tokens: list[str]) -> NDArray[np.intp]:
    """Hash all runs of 2 to 5 characters, across word boundaries too; vectorised, since a long text has thousands."""
    line = np.frombuffer(f" {' '.join(tokens)} ".encode(), dtype=np.uint8).astype(np.uint64) if tokens else _EMPTY
    run, runs = line, []
    for size in range(2, _MAX_CHARACTERS + 1):
        # Tokens are ASCII, so a run packs into an integer of as many bytes, without collisions.
        run = (run[:-1] << np.uint64(8)) | line[size - 1 :]
        runs.append(run)
    return (np.concatenate(runs) * _HASH_MULTIPLIER >> np.uint64(64 - _BLOCK_BITS)).astype(np.intp)


def message_character_mask(dimensions: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return a mask of the dimensions that are character n-grams of the message itself."""
    return (dimensions >= BLOCK_SIZE) & (dimensions < 2 * BLOCK_SIZE)


def normalize_blocks(dimensions: NDArray[np.intp], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale every block to its weight, independent of the length of the text."""
    block = dimensions // BLOCK_SIZE
    lengths = np.sqrt(np.bincount(block, values * values, minlength=len(_BLOCK_WEIGHTS)))
    scaled: NDArray[np.float32] = values * (_BLOCK_WEIGHTS / np.maximum(lengths, 1e-9)).astype(np.float32)[block]
    return scaled

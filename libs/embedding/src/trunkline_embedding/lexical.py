"""The embedder that needs no weights: hashed character n-grams, folded to a short vector by random signs.

It knows no synonyms. What it adds to the search by words is spelling: a typo, a compound, a part number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from zlib import crc32

import numpy as np

from trunkline_embedding.port import Vectors

_WORD: Final = re.compile(r"[^\W_]+")
_SHORTEST, _LONGEST = 3, 5
_MOST_WORDS: Final = 2_000
_DIMENSIONS: Final = 256


class LexicalEmbedder:
    """Vectors from spelling alone."""

    name = f"lexical-{_DIMENSIONS}"
    dimensions = _DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Add up the words' vectors; a text without a word stays zero."""
        rows = np.zeros((len(texts), _DIMENSIONS), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in _WORD.findall(text.lower())[:_MOST_WORDS]:
                places, signs = _hashed(word)
                np.add.at(row, list(places), signs)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = rows / np.maximum(lengths, 1e-9)
        return unit


@lru_cache(maxsize=50_000)
def _hashed(word: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Dimensions and signs of a word; a long word has more n-grams, and each weighs less."""
    bordered = f" {word} "
    grams = [
        bordered[start : start + size]
        for size in range(_SHORTEST, _LONGEST + 1)
        for start in range(len(bordered) - size + 1)
    ] or [bordered]
    hashes = [crc32(gram.encode()) for gram in grams]
    weight = len(grams) ** -0.5
    return (
        tuple(number % _DIMENSIONS for number in hashes),
        tuple(weight if number & 0x8000_0000 else -weight for number in hashes),
    )

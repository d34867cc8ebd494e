"""Embedders for tests, without a download: texts with the same letters or words have similar vectors."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from trunkline_rag.core.question import Vectors


class LetterEmbedder:
    """Embeds the frequency of each letter."""

    vocabulary: frozenset[str] = frozenset()
    quick_characters = 0

    def __init__(self, name: str = "letters", *, sign: int = 1) -> None:
        self.name = name
        self.dimensions = 26
        self._sign = sign

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.array([[text.lower().count(chr(97 + n)) + 0.01 for n in range(26)] for text in texts], np.float32)
        unit: Vectors = self._sign * rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


class WordEmbedder:
    """Embeds the occurring words, hashed into 64 dimensions."""

    name = "words"
    dimensions = 64
    vocabulary: frozenset[str] = frozenset()
    quick_characters = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.full((len(texts), self.dimensions), 0.01, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[crc32(word.encode()) % self.dimensions] += 1
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

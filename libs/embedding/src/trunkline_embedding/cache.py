"""LRU cache in front of an embedder, since customers often send the same short texts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline_embedding.port import Embedder, Vectors

OnLookup: TypeAlias = Callable[[str, int, int], None]
"""Callback for every cache lookup: name of the cache, hits, misses."""


class CachedEmbedder:
    """Embedder with an LRU cache of vectors."""

    def __init__(self, embedder: Embedder, *, on_lookup: OnLookup | None = None, capacity: int = 10_000) -> None:
        """Keep up to `capacity` vectors; report hits and misses to `on_lookup`."""
        self._embedder = embedder
        self._capacity = capacity
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()
        self._on_lookup = on_lookup
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self.vocabulary = embedder.vocabulary
        self.quick_characters = embedder.quick_characters

    def cached(self, texts: Sequence[str]) -> Vectors | None:
        """Return the vectors if all of them are cached, else None; never blocks, so it needs no thread."""
        found = self._found(texts)
        if len(found) < len(set(texts)):
            return None
        if self._on_lookup is not None:
            self._on_lookup("embedding", len(texts), 0)
        return self._rows(texts, found)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed the texts that are not cached; two threads may embed the same text twice, which is harmless."""
        found = self._found(texts)
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        if self._on_lookup is not None:
            self._on_lookup("embedding", len(texts) - len(missing), len(missing))
        if missing:
            found.update(zip(missing, self._embedder.embed(missing), strict=True))
            self._store({text: found[text] for text in missing})
        return self._rows(texts, found)

    def _found(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        with self._lock:
            found = {text: self._vectors[text] for text in texts if text in self._vectors}
            for text in found:
                self._vectors.move_to_end(text)
        return found

    def _rows(self, texts: Sequence[str], found: dict[str, NDArray[np.float32]]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        # Much faster than `np.stack` for a few rows.
        return np.array([found[text] for text in texts], dtype=np.float32)

    def _store(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        with self._lock:
            self._vectors.update(vectors)
            while len(self._vectors) > self._capacity:
                self._vectors.popitem(last=False)

"""The cache in front of an embedder: customers ask the same short things again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline_embedding.port import Embedder, Vectors

OnLookup: TypeAlias = Callable[[str, int, int], None]
"""Told of every look into a cache: its name, how many it had, how many not."""


class CachedEmbedder:
    """Keeps the vectors that were used last."""

    def __init__(self, embedder: Embedder, *, on_lookup: OnLookup | None = None, capacity: int = 10_000) -> None:
        """`on_lookup` counts."""
        self._embedder = embedder
        self._capacity = capacity
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()
        self._on_lookup = on_lookup
        self.name = embedder.name
        self.dimensions = embedder.dimensions

    def kept(self, texts: Sequence[str]) -> Vectors | None:
        """Return what `embed` would, where all of it is kept: that takes no time, and so no thread."""
        found = self._found(texts)
        if len(found) < len(set(texts)):
            return None
        if self._on_lookup is not None:
            self._on_lookup("embedding", len(texts), 0)
        return self._rows(texts, found)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed what is not kept; two threads may embed the same text twice, and nothing is wrong with that."""
        found = self._found(texts)
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        if self._on_lookup is not None:
            self._on_lookup("embedding", len(texts) - len(missing), len(missing))
        if missing:
            found.update(zip(missing, self._embedder.embed(missing), strict=True))
            self._keep({text: found[text] for text in missing})
        return self._rows(texts, found)

    def _found(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
            for text in found:
                self._kept.move_to_end(text)
        return found

    def _rows(self, texts: Sequence[str], found: dict[str, NDArray[np.float32]]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        return np.stack([found[text] for text in texts])

    def _keep(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        with self._lock:
            self._kept.update(vectors)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)

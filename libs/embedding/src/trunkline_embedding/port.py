"""Embedder port: texts to normalised vectors. Calls block, so slow embedders are called from threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]


class EmbeddingError(RuntimeError):
    """The texts could not be embedded; `retryable` if a later attempt may succeed."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        """Keep `retryable` for the caller; the message is for people."""
        super().__init__(message)
        self.retryable = retryable


class Embedder(Protocol):
    """Source of vectors that are compared by their dot product."""

    @property
    def name(self) -> str:
        """Return the model's name with a fingerprint of its weights: vectors of two names are not comparable."""
        ...

    @property
    def dimensions(self) -> int:
        """Return the length of every vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row per text; raise `EmbeddingError` on failure."""
        ...

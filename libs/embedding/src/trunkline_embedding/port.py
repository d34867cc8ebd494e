"""What an embedder is: texts in, vectors of length one out. Blocking: called from threads where it takes long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]


class EmbeddingError(RuntimeError):
    """The texts could not be embedded; the message says why and whether another try makes sense."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        """Keep the field; the message is for people."""
        super().__init__(message)
        self.retryable = retryable


class Embedder(Protocol):
    """Makes vectors that compare by their dot product."""

    @property
    def name(self) -> str:
        """Which model this is, with a fingerprint of its weights: vectors of two names never compare."""
        ...

    @property
    def dimensions(self) -> int:
        """How long every vector is."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row a text; raise `EmbeddingError` when that cannot be done."""
        ...

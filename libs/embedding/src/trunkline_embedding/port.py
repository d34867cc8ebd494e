"""Embedder port: texts to normalised vectors. Calls block, so slow embedders are called from threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
Vectors: TypeAlias = NDArray[np.float32]
"""One row per text."""


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

    @property
    def vocabulary(self) -> frozenset[str]:
        """Return whole words in lower case that the model knows; empty if they are not known here."""
        ...

    @property
    def quick_characters(self) -> int:
        """Return the length up to which a text takes about a millisecond; 0 if every call may wait for others."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row per text; raise `EmbeddingError` on failure."""
        ...


@runtime_checkable
class LayeredEmbedder(Embedder, Protocol):
    """An embedder whose middle layer separates similar classes better than its last one."""

    def with_middle_layer(self) -> Embedder:
        """Return an embedder whose vectors append the middle layer to the last one, normalised together."""
        ...


def message_embedder(embedder: Embedder) -> Embedder:
    """Return the embedder of messages that are routed: with the middle layer, if it has one.

    The first `embedder.dimensions` components of its vectors, normalised, are the vectors of `embedder`.
    """
    return embedder.with_middle_layer() if isinstance(embedder, LayeredEmbedder) else embedder

"""Vectors as bytes, for messages and stores: one int8 per component.

Only the direction of a vector counts, so every vector is scaled to the full range of an int8 and normalised again when
it is read. The cosine of a packed vector to the original one is above 0.999.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from trunkline_embedding.port import Vector, Vectors

_MAX: Final = 127.0
_MIN_LENGTH: Final = 1e-9


def pack(vectors: Vectors) -> list[bytes]:
    """Return the bytes of each row."""
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), _MIN_LENGTH) if len(vectors) else vectors
    scaled = np.rint(vectors * (_MAX / largest)).astype(np.int8) if len(vectors) else vectors.astype(np.int8)
    return [row.tobytes() for row in scaled]


def pack_vector(vector: Vector) -> bytes:
    """Return the bytes of one vector, as `pack` does with fewer calls: messages come one at a time."""
    largest = np.float32(max(float(np.abs(vector).max()), _MIN_LENGTH))
    packed: bytes = np.rint(vector * (np.float32(_MAX) / largest)).astype(np.int8).tobytes()
    return packed


def unpack_vector(packed: bytes, dimensions: int = 0) -> Vector:
    """Return the normalised vector of one packed row, as `unpack` does with fewer calls.

    Of a longer row, the first `dimensions` components count; 0: all. Raises `ValueError` if the row is shorter.
    """
    if len(packed) < dimensions:
        raise ValueError(f"a packed vector has fewer than {dimensions} components")
    values = np.frombuffer(packed, dtype=np.int8, count=dimensions or -1).astype(np.float32)
    # The squares and, of up to 1,040 components, their sum are whole numbers below 2^24: exact in any order.
    normalised: Vector = values / np.float32(max(math.sqrt(float(values @ values)), _MIN_LENGTH))
    return normalised


def unpack(packed: bytes | Sequence[bytes], dimensions: int = 0) -> Vectors:
    """Return the normalised vectors of packed rows; concatenated rows of `dimensions` components each, or a list.

    Of a longer row, the first `dimensions` components count. Raises `ValueError` if a row is shorter.
    """
    rows = _rows(packed, dimensions) if isinstance(packed, bytes) else packed
    if not rows:
        return np.empty((0, dimensions), dtype=np.float32)
    length = dimensions or len(rows[0])
    if any(len(row) < length for row in rows):
        raise ValueError(f"a packed vector has fewer than {length} components")
    values = np.array([np.frombuffer(row, dtype=np.int8)[:length] for row in rows], dtype=np.float32)
    normalised: Vectors = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _MIN_LENGTH)
    return normalised


def _rows(packed: bytes, dimensions: int) -> list[bytes]:
    return [packed[start : start + dimensions] for start in range(0, len(packed), dimensions)]

"""Training matrix of hashed n-grams, weighted by their rarity in the examples; imported by the trainer only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from trunkline_agents.core.routing.features import DIMENSIONS, normalize_blocks


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """One row per example, one column per dimension that the examples have."""

    matrix: csr_matrix
    dimensions: NDArray[np.intp]
    """Dimensions of the columns, ascending."""
    idf: NDArray[np.float32]
    """Inverse document frequency of the columns."""


def feature_matrix(rows: Sequence[tuple[NDArray[np.intp], NDArray[np.float32]]]) -> FeatureMatrix:
    """Build the matrix from the dimensions and values of each example, see `features.hashed_counts`."""
    dimensions, frequency = np.unique(np.concatenate([row for row, _ in rows]), return_counts=True)
    idf = (np.log((1 + len(rows)) / (1 + frequency)) + 1).astype(np.float32)
    # A lookup table is faster than a binary search per row, and small enough.
    column_of = np.zeros(DIMENSIONS, dtype=np.int32)
    column_of[dimensions] = np.arange(len(dimensions), dtype=np.int32)
    columns = [column_of[row] for row, _ in rows]
    values = [normalize_blocks(row, counts * idf[column]) for (row, counts), column in zip(rows, columns, strict=True)]
    ends = np.cumsum([0, *map(len, columns)])
    matrix = csr_matrix((np.concatenate(values), np.concatenate(columns), ends), shape=(len(rows), len(dimensions)))
    return FeatureMatrix(matrix, dimensions, idf)

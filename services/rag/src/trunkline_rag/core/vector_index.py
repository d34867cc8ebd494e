"""VectorIndex by vectors: every row is looked at while they are few, the nearest cells of an inverted file later."""

from __future__ import annotations

from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from trunkline_rag.core.question import Vectors

MANY_ROWS: Final = 5_000
"""From here on looking at every row takes more time than the search by words: their vectors fit into no cache."""

_MOST_CELLS: Final = 512
_ROWS_A_CELL: Final = 39
"""At least: the library wants as many to place a cell."""

_PROBED: Final = 32
"""Of 256 cells for 10,000 rows these hold 99 of a hundred of the fifty nearest (BANKING77's questions in MiniLM)."""

_ROUNDS: Final = 6
_SEED: Final = 1


# Several processes share the cores. A search waits for a second thread far longer than it takes: 5.9 ms instead of
# 0.6 at the 95th percentile, at a search every 8 ms.
faiss.omp_set_num_threads(1)


class VectorIndex:
    """Finds the rows nearest to a vector. Immutable."""

    def __init__(self, vectors: Vectors) -> None:
        """Take one vector a row."""
        self._vectors = vectors
        self._cells = _filed(vectors) if len(vectors) >= MANY_ROWS else None

    def nearest(self, wanted: Vectors, allowed: NDArray[np.bool_], limit: int) -> list[list[int]]:
        """Return the nearest allowed rows for every wanted vector, nearest first."""
        if self._cells is None:
            return [_best(likeness, allowed, limit) for likeness in wanted @ self._vectors.T]
        bits = np.packbits(allowed, bitorder="little")
        # The library's own type hints do not know the wrappers that it adds at import.
        selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=_PROBED)  # type: ignore[call-arg]
        _, rows = self._cells.search(np.ascontiguousarray(wanted), limit, params=parameters)
        return [[int(row) for row in found if row >= 0] for found in rows]


def cells_of(rows: int) -> int:
    """Into how many cells so many rows are filed."""
    return min(_MOST_CELLS, rows // _ROWS_A_CELL)


def _filed(vectors: Vectors) -> faiss.IndexIVFFlat:
    coarse = faiss.IndexFlatIP(vectors.shape[1])
    cells = faiss.IndexIVFFlat(coarse, vectors.shape[1], cells_of(len(vectors)), faiss.METRIC_INNER_PRODUCT)
    cells.cp.niter, cells.cp.seed, cells.cp.max_points_per_centroid = _ROUNDS, _SEED, 64
    cells.train(vectors)
    cells.add(vectors)
    return cells


def _best(likeness: NDArray[np.float32], allowed: NDArray[np.bool_], limit: int) -> list[int]:
    candidates = np.nonzero(allowed)[0]
    found = likeness[candidates]
    if len(candidates) > limit:
        kept = np.argpartition(-found, limit - 1)[:limit]
        candidates, found = candidates[kept], found[kept]
    best: list[int] = candidates[np.lexsort((candidates, -found))].tolist()
    return best

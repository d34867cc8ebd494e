"""Vectors in a file beside the embedded store, which takes 65 µs to hand one out: as long as all else together.

Milvus stays the truth. The file is found by what was embedded, so nothing in it can be out of date; what it lacks, or
what a crash has left half written, is read from Milvus.

A file is a sequence of blocks: number of rows, CRC-32 of what follows (two uint32), 16 bytes a row that tell its text,
and the vectors in float32; all little-endian.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from trunkline_embedding import Vectors

_log: Final = structlog.get_logger(__name__)
_HEAD: Final = struct.Struct("<II")
_MARK_BYTES: Final = 16
_PREFIX: Final = "vectors-"
_SPARE_ROWS: Final = 20_000
"""So many rows, and as many as there are, may be of texts that are gone before the file is begun anew."""


class VectorFile:
    """The vectors of one embedder. One writer; a file that cannot be written is done without."""

    def __init__(self, folder: Path, embedder: str, dimensions: int) -> None:
        """Name the file; it is made by the first vectors."""
        self._path = folder / f"{_PREFIX}{embedder}"
        self._dimensions = dimensions
        self._row_bytes = _MARK_BYTES + 4 * dimensions

    def read(self, texts: Sequence[str]) -> Vectors | None:
        """Return one row a text; None where one is missing."""
        places: dict[bytes, tuple[int, int]] = {}
        blocks: list[Vectors] = []
        for marks, vectors in self._blocks():
            places.update((mark, (len(blocks), row)) for row, mark in enumerate(marks))
            blocks.append(vectors)
        found = [places.get(_mark(text)) for text in texts]
        rows = np.empty((len(texts), self._dimensions), dtype=np.float32)
        for number, place in enumerate(found):
            if place is None:
                return None
            block, row = place
            rows[number] = blocks[block][row]
        return rows

    def append(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Add rows; before Milvus has them, so that the file lacks nothing that Milvus has."""
        with self._reporting(), self._path.open("ab") as file:
            file.write(_block(texts, vectors))

    def is_mostly_spare(self, live: int) -> bool:
        """Tell whether most of it is of texts that are gone, where `live` ones are there."""
        size = self._path.stat().st_size if self._path.is_file() else 0
        return size // self._row_bytes > 2 * live + _SPARE_ROWS

    def drop(self) -> None:
        """Begin anew: who reads next has Milvus, and writes the file."""
        with self._reporting():
            self._path.unlink(missing_ok=True)

    def replace(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Write these rows and no others, and drop what other embedders have left."""
        written = self._path.with_suffix(".new")
        with self._reporting():
            written.write_bytes(_block(texts, vectors))
            written.replace(self._path)
            for other in self._path.parent.glob(f"{_PREFIX}*"):
                if other != self._path:
                    other.unlink()

    def _blocks(self) -> Iterator[tuple[list[bytes], Vectors]]:
        content = memoryview(self._path.read_bytes() if self._path.is_file() else b"")
        while len(content) >= _HEAD.size:
            rows, checksum = _HEAD.unpack_from(content)
            body = content[_HEAD.size : _HEAD.size + rows * self._row_bytes]
            if len(body) < rows * self._row_bytes or zlib.crc32(body) != checksum:
                _log.warning("vectors.damaged", file=str(self._path), left_bytes=len(content))
                return
            border = rows * _MARK_BYTES
            marks = bytes(body[:border])
            yield (
                [marks[start : start + _MARK_BYTES] for start in range(0, border, _MARK_BYTES)],
                np.frombuffer(body[border:], dtype="<f4").reshape(rows, self._dimensions),
            )
            content = content[_HEAD.size + len(body) :]

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _log.warning("vectors.not_kept", file=str(self._path), error=str(error))


def _mark(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=_MARK_BYTES).digest()


def _block(texts: Sequence[str], vectors: Vectors) -> bytes:
    body = b"".join(map(_mark, texts)) + vectors.astype("<f4").tobytes()
    return _HEAD.pack(len(texts), zlib.crc32(body)) + body

"""The passages once more, in a file beside the embedded store, which takes 0.1 ms to hand one out with its vector.

Milvus stays the truth: it says which version of which article is in force, and the file is asked for the passages of
just these. What it lacks, or what a crash has left half written, is read from Milvus, and the file made anew.

A file belongs to one collection of passages. It is a sequence of blocks: length and CRC-32 of what follows (two
uint32, little-endian), then MessagePack of the articles that were stored together.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import structlog

from trunkline_rag.core.backups import Key
from trunkline_rag.core.index import Row
from trunkline_rag.core.question import Vectors
from trunkline_rag.ports import LatestVersion, PassageSet, StagedArticle

_log: Final = structlog.get_logger(__name__)
_HEAD: Final = struct.Struct("<II")
_ENDING: Final = ".kept"
_SPARE_ARTICLES: Final = 10_000
"""So many versions, and as many as there are articles, may be out of force before the file is begun anew."""


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """The passages of one version of an article; `vectors` in float32, one after the other, empty without embedder."""

    tenant: str
    document: str
    rev: int
    digest: str
    rows: list[Row]
    vectors: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[_Kept])


class PassageFile:
    """One writer. A file that cannot be written is done without: it only makes the start quicker."""

    def __init__(self, folder: Path, collection: str) -> None:
        """Name the file; it is made by the first articles."""
        self._path = folder / f"{collection}{_ENDING}"
        self._articles = 0
        """Versions in the file."""

    def append(self, tenant: str, filed: Sequence[StagedArticle]) -> None:
        """Add articles; before Milvus has them, so that the file lacks nothing that Milvus has."""
        self._articles += len(filed)
        kept = [
            _Kept(tenant, one.document.id, one.document.rev, one.document.digest, one.rows, _bytes(one.vectors))
            for one in filed
        ]
        with self._reporting(), self._path.open("ab") as file:
            file.write(_block(kept))

    def read(self, latest_versions: Mapping[Key, LatestVersion]) -> PassageSet | None:
        """Return the passages of these versions, in the order of the store's keys; None where any is missing."""
        found: dict[Key, _Kept] = {}
        self._articles = 0
        for kept in self._blocks():
            self._articles += len(kept)
            for one in kept:
                head = latest_versions.get((one.tenant, one.document))
                if head is not None and (head.rev, head.digest) == (one.rev, one.digest):
                    found[one.tenant, one.document] = one
        if len(found) < len(latest_versions):
            return None
        ordered = [found[key] for key in sorted(found, key=lambda key: f"{key[0]}/{key[1]}/")]
        rows = [row for one in ordered for row in one.rows]
        vectors = np.frombuffer(b"".join(one.vectors for one in ordered), dtype="<f4")
        return PassageSet(rows, vectors.reshape(len(rows), -1) if len(vectors) else None)

    def replace(self, latest_versions: Mapping[Key, LatestVersion], holdings: PassageSet) -> None:
        """Write these passages and no others, and drop the files of other collections."""
        empty = {key: _Kept(*key, head.rev, head.digest, [], b"") for key, head in latest_versions.items()}
        kept = empty | {(one.tenant, one.document): one for one in _by_article(latest_versions, holdings)}
        self._articles = len(kept)
        written = self._path.with_suffix(".new")
        with self._reporting():
            written.write_bytes(_block(list(kept.values())))
            written.replace(self._path)
            for other in self._path.parent.glob(f"*{_ENDING}"):
                if other != self._path:
                    other.unlink()

    def trim(self, articles: int) -> None:
        """Begin anew when most of it is out of force: who reads next has Milvus, and writes the file."""
        if self._articles > 2 * articles + _SPARE_ARTICLES:
            self._articles = 0
            with self._reporting():
                self._path.unlink(missing_ok=True)

    def _blocks(self) -> Iterator[list[_Kept]]:
        content = memoryview(self._path.read_bytes() if self._path.is_file() else b"")
        while content:
            length, checksum = _HEAD.unpack_from(content) if len(content) >= _HEAD.size else (0, 0)
            body = content[_HEAD.size : _HEAD.size + length]
            if not length or len(body) < length or zlib.crc32(body) != checksum:
                _log.warning("passages.damaged", file=str(self._path), left_bytes=len(content))
                return
            yield _decoder.decode(body)
            content = content[_HEAD.size + length :]

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _log.warning("passages.not_kept", file=str(self._path), error=str(error))


def _by_article(latest_versions: Mapping[Key, LatestVersion], holdings: PassageSet) -> Iterator[_Kept]:
    start = 0
    for key, group in groupby(holdings.rows, key=lambda row: (row.tenant, row.document)):
        rows = list(group)
        vectors = holdings.vectors[start : start + len(rows)] if holdings.vectors is not None else None
        yield _Kept(*key, latest_versions[key].rev, latest_versions[key].digest, rows, _bytes(vectors))
        start += len(rows)


def _bytes(vectors: Vectors | None) -> bytes:
    return vectors.astype("<f4").tobytes() if vectors is not None else b""


def _block(kept: list[_Kept]) -> bytes:
    body = _encoder.encode(kept)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body

"""A cache file of all passages beside the embedded store, which takes 0.1 ms to return one row with its vector.

Milvus is the source of truth: it determines the latest version of each article, and the file is read for exactly these
versions. If one is missing or a crash has left the file incomplete, all passages are read from Milvus and the file is
rewritten.

A file belongs to one collection of passages. It is a sequence of blocks: length and CRC-32 of the body (two uint32,
little-endian), then the body, MessagePack of the articles that were stored together.
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
from trunkline_protocols.decoding import DecodeError, Decoder

from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.passage_set import PassageSet, StagedArticle
from trunkline_rag.core.question import Vectors
from trunkline_rag.core.versions import ArticleKey, LatestVersion

_log: Final = structlog.get_logger(__name__)
_BLOCK_HEADER: Final = struct.Struct("<II")
_SUFFIX: Final = ".kept"
_SPARE_ARTICLES: Final = 10_000
"""Superseded versions that are tolerated in addition to the number of current ones before the file is rewritten."""


class _CachedArticle(msgspec.Struct, array_like=True, frozen=True):
    """The passages of one version of an article; `vectors` are concatenated float32, empty without an embedder."""

    tenant: str
    document: str
    rev: int
    digest: str
    rows: list[PassageRow]
    vectors: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = Decoder[list[_CachedArticle]](list[_CachedArticle], binary=True)


class PassageFile:
    """Single-writer cache file. Write errors are logged and ignored: the file only speeds up the start."""

    def __init__(self, folder: Path, collection: str) -> None:
        """Set the path; the file is created by the first write."""
        self._path = folder / f"{collection}{_SUFFIX}"
        self._articles = 0
        """Versions in the file."""

    def append(self, tenant: str, articles: Sequence[StagedArticle]) -> None:
        """Add articles; called before Milvus stores them, so that the file has everything that Milvus has."""
        self._articles += len(articles)
        cached = [
            _CachedArticle(
                tenant,
                article.document.id,
                article.document.rev,
                article.document.digest,
                article.rows,
                _vector_bytes(article.vectors),
            )
            for article in articles
        ]
        with self._logging_errors(), self._path.open("ab") as file:
            file.write(_block(cached))

    def read(self, latest_versions: Mapping[ArticleKey, LatestVersion]) -> PassageSet | None:
        """Return the passages of these versions in the order of the store's keys; None if a version is missing."""
        found: dict[ArticleKey, _CachedArticle] = {}
        self._articles = 0
        for block in self._blocks():
            self._articles += len(block)
            for article in block:
                latest = latest_versions.get((article.tenant, article.document))
                if latest is not None and (latest.rev, latest.digest) == (article.rev, article.digest):
                    found[article.tenant, article.document] = article
        if len(found) < len(latest_versions):
            return None
        ordered = [found[key] for key in sorted(found, key=lambda key: f"{key[0]}/{key[1]}/")]
        rows = [row for article in ordered for row in article.rows]
        vectors = np.frombuffer(b"".join(article.vectors for article in ordered), dtype="<f4")
        return PassageSet(rows, vectors.reshape(len(rows), -1) if len(vectors) else None)

    def replace(self, latest_versions: Mapping[ArticleKey, LatestVersion], passages: PassageSet) -> None:
        """Rewrite the file with these passages, and delete the files of other collections."""
        empty = {
            key: _CachedArticle(*key, latest.rev, latest.digest, [], b"") for key, latest in latest_versions.items()
        }
        with_passages = {
            (article.tenant, article.document): article for article in _by_article(latest_versions, passages)
        }
        cached = empty | with_passages
        self._articles = len(cached)
        written = self._path.with_suffix(".new")
        with self._logging_errors():
            written.write_bytes(_block(list(cached.values())))
            written.replace(self._path)
            for other in self._path.parent.glob(f"*{_SUFFIX}"):
                if other != self._path:
                    other.unlink()

    def trim(self, articles: int) -> None:
        """Delete the file if most of it is superseded; the next read falls back to Milvus and rewrites it."""
        if self._articles > 2 * articles + _SPARE_ARTICLES:
            self._articles = 0
            with self._logging_errors():
                self._path.unlink(missing_ok=True)

    def _blocks(self) -> Iterator[list[_CachedArticle]]:
        content = memoryview(self._path.read_bytes() if self._path.is_file() else b"")
        while content:
            length, checksum = _BLOCK_HEADER.unpack_from(content) if len(content) >= _BLOCK_HEADER.size else (0, 0)
            body = content[_BLOCK_HEADER.size : _BLOCK_HEADER.size + length]
            if not length or len(body) < length or zlib.crc32(body) != checksum:
                _log.warning("passage_file.damaged", file=str(self._path), remaining_bytes=len(content))
                return
            try:
                decoded = _decoder.decode(bytes(body))
            except DecodeError as error:
                _log.warning("passage_file.damaged", file=str(self._path), error=str(error))
                return
            yield decoded
            content = content[_BLOCK_HEADER.size + length :]

    @contextlib.contextmanager
    def _logging_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _log.warning("passage_file.write_failed", file=str(self._path), error=str(error))


def _by_article(latest_versions: Mapping[ArticleKey, LatestVersion], passages: PassageSet) -> Iterator[_CachedArticle]:
    start = 0
    for key, group in groupby(passages.rows, key=lambda row: (row.tenant, row.document)):
        rows = list(group)
        vectors = passages.vectors[start : start + len(rows)] if passages.vectors is not None else None
        latest = latest_versions[key]
        yield _CachedArticle(*key, latest.rev, latest.digest, rows, _vector_bytes(vectors))
        start += len(rows)


def _vector_bytes(vectors: Vectors | None) -> bytes:
    return vectors.astype("<f4").tobytes() if vectors is not None else b""


def _block(articles: list[_CachedArticle]) -> bytes:
    body = _encoder.encode(articles)
    return _BLOCK_HEADER.pack(len(body), zlib.crc32(body)) + body

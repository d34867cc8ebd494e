"""Backup format: the knowledge base as content-addressed blobs, and a manifest that lists them.

Articles are assigned to shards by the hash of their key. A shard has one blob of texts (every version, and the current
passages) and, if there are vectors, one blob of vectors. A changed article changes only its shard's blobs, so an
incremental backup writes little; every manifest lists all of its blobs, so each backup restores without another one.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
import numpy as np
from trunkline_protocols.decoding import Decoder

from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.question import Vectors
from trunkline_rag.core.versions import ArticleKey, ArticleVersion, latest_by_key

BackupKind = Literal["full", "incremental"]

SHARD_COUNT: Final = 256
_COMPRESSION_LEVEL: Final = 6
_FLOAT: Final = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class StoreDump:
    """Complete content of the store: all versions, and the current passages with the vectors of one embedder."""

    versions: list[ArticleVersion]
    rows: list[PassageRow]
    vectors: Vectors | None
    embedder: str


class DamagedBackupError(ValueError):
    """A blob is missing or does not match its name, or a manifest cannot be decoded."""


# -- manifests ---


class Shard(msgspec.Struct, frozen=True):
    """Names of the blobs of one shard."""

    texts: str
    vectors: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Content list of one backup. It is written last: a backup without a manifest does not exist."""

    id: str
    created_at: float
    kind: BackupKind
    embedder: str
    dimensions: int
    articles: int
    passages: int
    bytes: int
    """Total size of all blobs, uncompressed."""
    written: int
    """Number of blobs that this backup has written; the others existed before."""
    shards: list[Shard] = msgspec.field(name="shares")
    format: int = 1
    region: str = ""
    """Region of the suite that took it; empty for one of an earlier version."""

    @property
    def blobs(self) -> set[str]:
        """Names of all blobs that it references."""
        return {blob for shard in self.shards for blob in (shard.texts, shard.vectors) if blob}


def backup_id(created_at: float, shards: Sequence[Shard]) -> str:
    """Derive the id from time, so that ids sort by it, and content."""
    stamp = datetime.fromtimestamp(created_at, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3].replace(".", "")
    return f"{stamp}Z-{hashlib.sha256(msgspec.json.encode(shards)).hexdigest()[:8]}"


def expired_backups(ids: Sequence[str], keep: int) -> list[str]:
    """Return the ids beyond the newest `keep`; the newest one always stays."""
    return sorted(ids, reverse=True)[max(keep, 1) :]


def unreferenced_blobs(blobs: Mapping[str, float], manifests: Iterable[Manifest], *, before: float) -> list[str]:
    """Return the blobs, given with the time of their writing, that no manifest references.

    Blobs written since `before` are kept: a backup in progress may reference them and has no manifest yet.
    """
    referenced = {blob for manifest in manifests for blob in manifest.blobs}
    return [blob for blob, written_at in blobs.items() if blob not in referenced and written_at < before]


# -- blobs ---


@dataclass(frozen=True, slots=True)
class Blob:
    """Content and its name, the SHA-256 of the content."""

    name: str
    content: bytes

    def compressed(self) -> bytes:
        """Compress deterministically: the same content gives the same bytes."""
        return gzip.compress(self.content, _COMPRESSION_LEVEL, mtime=0)


def make_blob(content: bytes) -> Blob:
    """Name content by its hash."""
    return Blob(hashlib.sha256(content).hexdigest(), content)


def decompress_blob(name: str, compressed: bytes) -> bytes:
    """Return a blob's content; raise `DamagedBackupError` if it does not match the name."""
    try:
        content = gzip.decompress(compressed)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DamagedBackupError(f"blob {name}: {error}") from error
    if hashlib.sha256(content).hexdigest() != name:
        raise DamagedBackupError(f"blob {name}: content does not match its hash")
    return content


class _Texts(msgspec.Struct):
    versions: list[ArticleVersion]
    rows: list[PassageRow]


_decode_texts: Final = Decoder[_Texts](_Texts).decode


def pack_shards(dump: StoreDump) -> Iterator[tuple[Blob, Blob | None]]:
    """Yield the blobs of every shard that is not empty: its texts and, if there are vectors, its vectors."""
    versions: defaultdict[int, list[ArticleVersion]] = defaultdict(list)
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for version in dump.versions:
        versions[_shard_number(version.key)].append(version)
    for number, row in enumerate(dump.rows):
        rows[_shard_number((row.tenant, row.document))].append(number)
    for shard in sorted(versions.keys() | rows.keys()):
        ordered = sorted(versions[shard], key=lambda version: (*version.key, version.document.rev))
        texts = make_blob(msgspec.json.encode(_Texts(ordered, [dump.rows[number] for number in rows[shard]])))
        if dump.vectors is None or not rows[shard]:
            yield texts, None
        else:
            yield texts, make_blob(dump.vectors[rows[shard]].astype(_FLOAT).tobytes())


def unpack_dump(manifest: Manifest, contents: Mapping[str, bytes]) -> StoreDump:
    """Rebuild a dump from the contents of a manifest's blobs; passages are in the order of their keys.

    Raises `DamagedBackupError` if contents and manifest do not fit.
    """
    versions: list[ArticleVersion] = []
    found: list[tuple[PassageRow, Vectors | None]] = []
    for shard in manifest.shards:
        try:
            texts = _decode_texts(contents[shard.texts])
            vectors: Sequence[Vectors | None] = [None] * len(texts.rows)
            if shard.vectors:
                vectors = list(np.frombuffer(contents[shard.vectors], dtype=_FLOAT).reshape(-1, manifest.dimensions))
            rows = list(zip(texts.rows, vectors, strict=True))
        except ValueError as error:
            raise DamagedBackupError(f"shard {shard.texts}: {error}") from error
        versions += texts.versions
        found += rows
    # The sort is stable, so passages of one article stay in their order.
    found.sort(key=lambda item: (item[0].tenant, item[0].document))
    has_vectors = bool(found) and all(vector is not None for _, vector in found)
    return StoreDump(
        versions,
        [row for row, _ in found],
        np.array([vector for _, vector in found], dtype=np.float32) if has_vectors else None,
        manifest.embedder,
    )


def _shard_number(key: ArticleKey) -> int:
    return hashlib.sha256("/".join(key).encode()).digest()[0] % SHARD_COUNT


# -- restoring ---


def merge_backup(backup: StoreDump, live: Sequence[ArticleVersion]) -> StoreDump:
    """Return the content of the store after a backup is restored over its live versions.

    Live versions that the backup lacks stay readable, so that every citation still opens the text it quoted. An article
    with later live versions gets the backup's text as a new version after them; an article that the backup lacks is
    removed.
    """
    known = {(*version.key, version.document.rev) for version in backup.versions}
    versions = [*backup.versions]
    versions += [version for version in live if (*version.key, version.document.rev) not in known]
    backed_up = latest_by_key(backup.versions)
    revs: dict[ArticleKey, int] = {}
    for key, latest in latest_by_key(live).items():
        old = backed_up.get(key)
        if old is not None and old.document.rev >= latest.document.rev:
            continue
        is_removed = old is None or old.is_removed
        if is_removed and latest.is_removed:
            continue
        revs[key] = latest.document.rev + 1
        text = Document(latest.document.id, "", "") if old is None else old.document
        versions.append(ArticleVersion(latest.tenant, replace(text, rev=revs[key]), is_removed))
    rows = [replace(row, rev=revs.get((row.tenant, row.document), row.rev)) for row in backup.rows]
    return replace(backup, versions=versions, rows=rows)

"""Backups: the whole knowledge base as blobs that are named by their content, and a manifest that lists them.

Articles are dealt into shares by their key. A share has one blob of texts, every version and the passages in force,
and one of vectors where there are any. An article that has changed changes its share's blobs and no other's, so an
incremental backup writes little; every manifest lists all of its blobs, so none needs another one to be restored.
"""

from __future__ import annotations

import gzip
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np

from trunkline_rag.core.articles import Document
from trunkline_rag.core.index import Row
from trunkline_rag.core.question import Vectors

Kind = Literal["full", "incremental"]
Key: TypeAlias = tuple[str, str]
"""Tenant and document."""

SHARES: Final = 256
_COMPRESSION: Final = 6
_FLOAT: Final = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an article; a removed one says from when on there is none."""

    tenant: str
    document: Document
    is_removed: bool = False

    @property
    def key(self) -> Key:
        """Whose version it is."""
        return (self.tenant, self.document.id)


@dataclass(frozen=True, slots=True)
class StoreDump:
    """Everything that is kept: all versions, and the passages in force with the vectors of one embedder."""

    versions: list[Version]
    rows: list[Row]
    vectors: Vectors | None
    embedder: str


class DamagedError(ValueError):
    """A blob is not what its name says."""


# -- manifests ---


class Shard(msgspec.Struct, frozen=True):
    """The blobs of one share."""

    texts: str
    vectors: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup consists of. Written last: a backup without one does not exist."""

    id: str
    made_at: float
    kind: Kind
    embedder: str
    dimensions: int
    articles: int
    passages: int
    bytes: int
    """Of all blobs, uncompressed."""
    written: int
    """Blobs that this backup has written; all others were there."""
    shares: list[Shard]
    format: int = 1

    @property
    def blobs(self) -> set[str]:
        """Names of all blobs that it needs."""
        return {blob for share in self.shares for blob in (share.texts, share.vectors) if blob}


def backup_id(made_at: float, shares: Sequence[Shard]) -> str:
    """Name a backup by its time, so that names sort by it, and by its content."""
    stamp = datetime.fromtimestamp(made_at, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3].replace(".", "")
    return f"{stamp}Z-{hashlib.sha256(msgspec.json.encode(shares)).hexdigest()[:8]}"


def outdated(ids: Sequence[str], keep: int) -> list[str]:
    """Name the backups that are too many; the newest stays in any case."""
    return sorted(ids, reverse=True)[max(keep, 1) :]


def unneeded(blobs: Mapping[str, float], manifests: Iterable[Manifest], *, before: float) -> list[str]:
    """Name the blobs, given with their time, that no backup needs.

    Those written since `before` may belong to a backup that is being made somewhere and has no manifest yet.
    """
    needed = {blob for manifest in manifests for blob in manifest.blobs}
    return [blob for blob, written_at in blobs.items() if blob not in needed and written_at < before]


# -- blobs ---


@dataclass(frozen=True, slots=True)
class Blob:
    """Content and its name."""

    name: str
    content: bytes

    def packed(self) -> bytes:
        """Compress; the same content is always the same bytes."""
        return gzip.compress(self.content, _COMPRESSION, mtime=0)


def blob_of(content: bytes) -> Blob:
    """Name content by its hash."""
    return Blob(hashlib.sha256(content).hexdigest(), content)


def unpacked(name: str, packed: bytes) -> bytes:
    """Return a blob's content; raise `DamagedError` when it is not what was stored under this name."""
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, ValueError) as error:
        raise DamagedError(f"blob {name}: {error}") from error
    if hashlib.sha256(content).hexdigest() != name:
        raise DamagedError(f"blob {name}: its content is another one")
    return content


class _Texts(msgspec.Struct):
    versions: list[Version]
    rows: list[Row]


_decode_texts: Final = msgspec.json.Decoder(_Texts).decode


def packed_shares(stock: StoreDump) -> Iterator[tuple[Blob, Blob | None]]:
    """Deal a stock into shares that are not empty: the blob of their texts, and of their vectors where it has any."""
    versions: defaultdict[int, list[Version]] = defaultdict(list)
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for version in stock.versions:
        versions[_share_of(version.key)].append(version)
    for number, row in enumerate(stock.rows):
        rows[_share_of((row.tenant, row.document))].append(number)
    for share in sorted(versions.keys() | rows.keys()):
        ordered = sorted(versions[share], key=lambda version: (*version.key, version.document.rev))
        texts = blob_of(msgspec.json.encode(_Texts(ordered, [stock.rows[number] for number in rows[share]])))
        if stock.vectors is None or not rows[share]:
            yield texts, None
        else:
            yield texts, blob_of(stock.vectors[rows[share]].astype(_FLOAT).tobytes())


def unpacked_stock(manifest: Manifest, contents: Mapping[str, bytes]) -> StoreDump:
    """Put a stock together again from the contents of a manifest's blobs; passages in the order of their keys."""
    versions: list[Version] = []
    found: list[tuple[Row, Vectors | None]] = []
    for share in manifest.shares:
        texts = _decode_texts(contents[share.texts])
        versions += texts.versions
        vectors: Sequence[Vectors | None] = [None] * len(texts.rows)
        if share.vectors:
            vectors = list(np.frombuffer(contents[share.vectors], dtype=_FLOAT).reshape(-1, manifest.dimensions))
        found += zip(texts.rows, vectors, strict=True)
    # Passages of one article stay in their order: the sort is stable.
    found.sort(key=lambda item: (item[0].tenant, item[0].document))
    has_vectors = bool(found) and all(vector is not None for _, vector in found)
    return StoreDump(
        versions,
        [row for row, _ in found],
        np.array([vector for _, vector in found], dtype=np.float32) if has_vectors else None,
        manifest.embedder,
    )


def _share_of(key: Key) -> int:
    return hashlib.sha256("/".join(key).encode()).digest()[0] % SHARES


# -- restoring ---


def restored(backup: StoreDump, live: Sequence[Version]) -> StoreDump:
    """Say what is kept after a restore over what is there.

    Versions that the backup does not know stay readable, so that every citation still opens what it quoted. An
    article that has got later ones since gets the backup's text as a version after them; one that the backup does
    not have is gone.
    """
    known = {(*version.key, version.document.rev) for version in backup.versions}
    versions = [*backup.versions]
    versions += [version for version in live if (*version.key, version.document.rev) not in known]
    latest_versions = latest(backup.versions)
    revs: dict[Key, int] = {}
    for key, head in latest(live).items():
        old = latest_versions.get(key)
        if old is not None and old.document.rev >= head.document.rev:
            continue
        is_removed = old is None or old.is_removed
        if is_removed and head.is_removed:
            continue
        revs[key] = head.document.rev + 1
        text = Document(head.document.id, "", "") if old is None else old.document
        versions.append(Version(head.tenant, replace(text, rev=revs[key]), is_removed))
    rows = [replace(row, rev=revs.get((row.tenant, row.document), row.rev)) for row in backup.rows]
    return replace(backup, versions=versions, rows=rows)


def latest(versions: Iterable[Version]) -> dict[Key, Version]:
    """Return the latest version of every article."""
    latest_versions: dict[Key, Version] = {}
    for version in versions:
        if version.key not in latest_versions or latest_versions[version.key].document.rev < version.document.rev:
            latest_versions[version.key] = version
    return latest_versions

"""Backups at work: what is in the store goes to the object store, and back. Imports wait only while it is read.

manifests/<backup>      written last: what has none is no backup; interrupted, it leaves the earlier ones whole
blobs/<sha256>.gz         written once, read by all backups that name it
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import structlog
from prometheus_client import Counter, Gauge
from trunkline_protocols import knowledge as wire
from trunkline_protocols.ids import token

from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.backups import (
    Blob,
    DamagedError,
    Manifest,
    Shard,
    StoreDump,
    backup_id,
    latest,
    outdated,
    packed_shares,
    unneeded,
    unpacked,
    unpacked_stock,
)
from trunkline_rag.ports import ObjectMissingError, Objects

_log: Final = structlog.get_logger(__name__)
_MADE_AT: Final = Gauge("trunkline_knowledge_backup_timestamp_seconds", "When the newest backup was made")
_FAILED: Final = Counter("trunkline_knowledge_backups_failed", "Scheduled backups that could not be made")
_AT_ONCE: Final = 8
_GRACE_S: Final = 3_600.0
"""A blob that no backup needs is left for so long: a backup under way may be about to name it."""
_FIRST_AFTER_S: Final = 600.0
_AGAIN_AFTER_S: Final = 900.0

T = TypeVar("T")
R = TypeVar("R")
_decode_manifest: Final = msgspec.json.Decoder(Manifest).decode


class NoBackupError(LookupError):
    """There is no such backup, or none at all."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A backup that was made, and those that were removed because they were too many."""

    manifest: Manifest
    removed: list[str]


@dataclass(frozen=True, slots=True)
class _Packed:
    """A stock as the blobs that hold it."""

    stock: StoreDump
    shares: list[tuple[Blob, Blob | None]]

    @property
    def names(self) -> list[Shard]:
        return [Shard(texts.name, vectors.name if vectors is not None else "") for texts, vectors in self.shares]

    @property
    def blobs(self) -> dict[str, Blob]:
        return {blob.name: blob for share in self.shares for blob in share if blob is not None}


class Backups:
    """Takes and restores backups of one library, one after another."""

    def __init__(self, knowledge_base: KnowledgeBase, objects: Objects, *, keep: int) -> None:
        """Keep so many."""
        self._knowledge_base = knowledge_base
        self._objects = objects
        self._keep = keep
        self._busy = asyncio.Lock()
        self.progress: wire.BackupProgress | None = None
        """How far the work under way is."""

    @property
    def place(self) -> str:
        """Where they are kept."""
        return self._objects.place

    # -- take ---

    async def take(self, *, full: bool = False, keep: int = 0) -> BackupResult:
        """Make a backup, incremental unless `full`."""
        async with self._busy, self._working("backup"):
            return await self._take(await self._packed(), await self._newest(), full=full, keep=keep or self._keep)

    async def take_if_changed(self) -> BackupResult | None:
        """Make an incremental one, unless it would be the same as the newest."""
        async with self._busy, self._working("backup"):
            packed, before = await self._packed(), await self._newest()
            if before is not None and before.shares == packed.names:
                return None
            return await self._take(packed, before, full=False, keep=self._keep)

    async def _packed(self) -> _Packed:
        stock = await self._knowledge_base.stock()
        return _Packed(stock, await asyncio.to_thread(lambda: list(packed_shares(stock))))

    async def _take(self, packed: _Packed, before: Manifest | None, *, full: bool, keep: int) -> BackupResult:
        stock, blobs = packed.stock, packed.blobs
        # What the backup before names is there: it is kept as long as it is the newest.
        there = before.blobs if before is not None and not full else set()
        missing = [blob for name, blob in blobs.items() if name not in there]
        await self._each(missing, self._write, "backup")
        made_at = time.time()
        manifest = Manifest(
            id=backup_id(made_at, packed.names),
            made_at=made_at,
            kind="full" if full or before is None else "incremental",
            embedder=stock.embedder,
            dimensions=stock.vectors.shape[1] if stock.vectors is not None else 0,
            articles=sum(not head.is_removed for head in latest(stock.versions).values()),
            passages=len(stock.rows),
            bytes=sum(len(blob.content) for blob in blobs.values()),
            written=len(missing),
            shares=packed.names,
        )
        await self._objects.put(f"manifests/{manifest.id}", msgspec.json.encode(manifest))
        _MADE_AT.set(made_at)
        _log.info("backup.taken", backup=manifest.id, blobs=len(blobs), written=manifest.written)
        return BackupResult(manifest, await self.prune(keep))

    async def _write(self, blob: Blob) -> None:
        await self._objects.put(f"blobs/{blob.name}.gz", await asyncio.to_thread(blob.packed))

    # -- restore ---

    async def restore(self, backup: str = "", *, replace: bool = False) -> Manifest:
        """Put a backup in force, the newest unless one is named.

        Raises `NoBackupError`, `DamagedError`, and `NotEmptyError` where there are articles and not `replace`.
        """
        async with self._busy, self._working("restore"):
            manifest = await self._manifest(backup) if backup else await self._newest()
            if manifest is None:
                raise NoBackupError(f"{self.place} has no backup")
            await self._knowledge_base.restore(await self._stock(manifest), replace=replace)
            _log.info("backup.restored", backup=manifest.id, passages=manifest.passages)
            return manifest

    async def _stock(self, manifest: Manifest) -> StoreDump:
        names = sorted(manifest.blobs)
        contents = await self._each(names, self._read, "restore")
        return await asyncio.to_thread(unpacked_stock, manifest, dict(zip(names, contents, strict=True)))

    async def _read(self, name: str) -> bytes:
        try:
            packed = await self._objects.get(f"blobs/{name}.gz")
        except ObjectMissingError as error:
            raise DamagedError(str(error)) from error
        return await asyncio.to_thread(unpacked, name, packed)

    # -- what there is ---

    async def manifests(self) -> list[Manifest]:
        """Read what there is, newest first."""
        ids = sorted(await self._objects.listed("manifests"), reverse=True)
        return [manifest for id_ in ids if (manifest := await self._readable(id_)) is not None]

    async def _readable(self, id_: str) -> Manifest | None:
        try:
            return await self._manifest(id_)
        except (NoBackupError, DamagedError) as error:
            _log.warning("backup.unreadable", backup=id_, error=str(error))
            return None

    async def _manifest(self, id_: str) -> Manifest:
        try:
            return _decode_manifest(await self._objects.get(f"manifests/{token(id_, 'backup')}"))
        except ObjectMissingError as error:
            raise NoBackupError(f"{self.place} has no backup {id_}") from error
        except msgspec.DecodeError as error:
            raise DamagedError(f"backup {id_}: {error}") from error

    async def _newest(self) -> Manifest | None:
        for id_ in sorted(await self._objects.listed("manifests"), reverse=True):
            if (manifest := await self._readable(id_)) is not None:
                return manifest
        return None

    async def prune(self, keep: int, *, now: float | None = None) -> list[str]:
        """Remove all but the newest, then the blobs that nothing needs any more."""
        too_many = outdated(list(await self._objects.listed("manifests")), keep)
        await self._objects.remove([f"manifests/{id_}" for id_ in too_many])
        blobs = {name.removesuffix(".gz"): at for name, at in (await self._objects.listed("blobs")).items()}
        before = (time.time() if now is None else now) - _GRACE_S
        gone = unneeded(blobs, await self.manifests(), before=before)
        await self._objects.remove([f"blobs/{name}.gz" for name in gone])
        return too_many

    # -- by the clock ---

    async def run(self, every_s: float) -> None:
        """Take one whenever the newest is older than that and something has changed; until cancelled."""
        await asyncio.sleep(min(_FIRST_AFTER_S, every_s))
        while True:
            try:
                newest = await self._newest()
                wait_s = newest.made_at + every_s - time.time() if newest is not None else 0.0
                if wait_s <= 0:
                    await self.take_if_changed()
                    wait_s = every_s
            except Exception as error:
                _FAILED.inc()
                _log.error("backup.failed", place=self.place, error=str(error))
                wait_s = min(every_s, _AGAIN_AFTER_S)
            await asyncio.sleep(wait_s)

    # -- parts ---

    async def _each(self, items: Iterable[T], work: Callable[[T], Awaitable[R]], doing: str) -> list[R]:
        """Do it for all, some at once, in order; the first failure ends it."""
        waiting = list(items)
        results: list[R] = []
        self._tell(doing, 0, len(waiting))
        for start in range(0, len(waiting), _AT_ONCE):
            results += await asyncio.gather(*(work(item) for item in waiting[start : start + _AT_ONCE]))
            self._tell(doing, len(results), len(waiting))
        return results

    @asynccontextmanager
    async def _working(self, doing: str) -> AsyncIterator[None]:
        self._tell(doing, 0, 0)
        try:
            yield
        finally:
            self.progress = None

    def _tell(self, doing: str, done: int, total: int) -> None:
        self.progress = wire.BackupProgress(doing=doing, done=done, total=total)

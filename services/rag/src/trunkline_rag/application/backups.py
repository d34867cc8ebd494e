"""Backups of the knowledge base in an object store. Imports wait only while the store is read.

manifests/<backup>      written last, so that an interrupted backup does not exist and leaves the earlier ones intact
blobs/<sha256>.gz       written once, shared by all backups that reference it
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import structlog
from prometheus_client import Counter, Gauge
from trunkline_chassis.errors import ObjectMissingError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.decoding import DecodeError, Decoder
from trunkline_protocols.ids import token
from trunkline_protocols.knowledge import BackupProgress

from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.backups import (
    Blob,
    DamagedBackupError,
    Manifest,
    Shard,
    StoreDump,
    backup_id,
    decompress_blob,
    expired_backups,
    pack_shards,
    unpack_dump,
    unreferenced_blobs,
)
from trunkline_rag.core.versions import latest_by_key
from trunkline_rag.ports import ObjectStore

_log: Final = structlog.get_logger(__name__)
_MADE_AT: Final = Gauge("trunkline_knowledge_backup_timestamp_seconds", "Unix time of the latest backup")
_CURRENT_AT: Final = Gauge(
    "trunkline_knowledge_backup_current_timestamp_seconds",
    "Unix time at which the latest backup last had all content; 0 if none is known, NaN without a schedule",
)
_CURRENT_AT.set(math.nan)
_FAILED: Final = Counter("trunkline_knowledge_backups_failed", "Scheduled backups that failed")
_MAX_CONCURRENT_TRANSFERS: Final = 8
_BLOB_GRACE_PERIOD_S: Final = 3_600.0
"""Age from which an unreferenced blob is deleted: a backup in progress may be about to reference a younger one."""
_FIRST_BACKUP_DELAY_S: Final = 600.0
_RETRY_DELAY_S: Final = 900.0

T = TypeVar("T")
R = TypeVar("R")
_decode_manifest: Final = Decoder[Manifest](Manifest).decode


class NoBackupError(LookupError):
    """The requested backup, or any backup, does not exist."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A new backup, and the ids of the older ones that were removed."""

    manifest: Manifest
    removed: list[str]


@dataclass(frozen=True, slots=True)
class _PackedDump:
    """A dump and the blobs that hold it."""

    dump: StoreDump
    shard_blobs: list[tuple[Blob, Blob | None]]

    @property
    def shards(self) -> list[Shard]:
        return [Shard(texts.name, vectors.name if vectors is not None else "") for texts, vectors in self.shard_blobs]

    @property
    def blobs(self) -> dict[str, Blob]:
        return {blob.name: blob for pair in self.shard_blobs for blob in pair if blob is not None}


class Backups:
    """Takes and restores backups of one knowledge base, one operation at a time."""

    def __init__(self, knowledge_base: KnowledgeBase, objects: ObjectStore, borders: BorderGuard, *, keep: int) -> None:
        """`keep` is the number of backups that pruning leaves by default."""
        self._borders = borders
        self._knowledge_base = knowledge_base
        self._objects = objects
        self._keep = keep
        self._mutex = asyncio.Lock()
        self.progress: BackupProgress | None = None
        """Progress of the running operation, None while idle."""

    @property
    def location(self) -> str:
        """Location of the object store, for messages."""
        return self._objects.location

    # -- take ---

    async def take(self, *, full: bool = False, keep: int = 0) -> BackupResult:
        """Make a backup, incremental unless `full`, and remove older ones beyond `keep` (0: the default)."""
        async with self._mutex, self._reporting_progress("backup"):
            return await self._take(await self._pack(), await self._latest(), full=full, keep=keep or self._keep)

    async def take_if_changed(self) -> BackupResult | None:
        """Make an incremental backup, unless the content equals the latest backup."""
        async with self._mutex, self._reporting_progress("backup"):
            packed_at, packed, latest = time.time(), await self._pack(), await self._latest()
            if latest is not None and latest.shards == packed.shards:
                _CURRENT_AT.set(packed_at)
                return None
            return await self._take(packed, latest, full=False, keep=self._keep)

    async def _pack(self) -> _PackedDump:
        dump = await self._knowledge_base.dump()
        return _PackedDump(dump, await asyncio.to_thread(lambda: list(pack_shards(dump))))

    async def _take(self, packed: _PackedDump, latest: Manifest | None, *, full: bool, keep: int) -> BackupResult:
        dump, blobs = packed.dump, packed.blobs
        # The blobs of the latest backup exist: it is not pruned while it is the latest.
        existing = latest.blobs if latest is not None and not full else set()
        missing = [blob for name, blob in blobs.items() if name not in existing]
        await self._transfer(missing, self._write, "backup")
        created_at = time.time()
        manifest = Manifest(
            id=backup_id(created_at, packed.shards),
            created_at=created_at,
            kind="full" if full or latest is None else "incremental",
            embedder=dump.embedder,
            dimensions=dump.vectors.shape[1] if dump.vectors is not None else 0,
            articles=sum(not version.is_removed for version in latest_by_key(dump.versions).values()),
            passages=len(dump.rows),
            bytes=sum(len(blob.content) for blob in blobs.values()),
            written=len(missing),
            shards=packed.shards,
            region=self._borders.region,
        )
        await self._objects.put(f"manifests/{manifest.id}", msgspec.json.encode(manifest))
        _publish_age(created_at)
        _log.info("backup.taken", backup=manifest.id, blobs=len(blobs), written=manifest.written)
        return BackupResult(manifest, await self.prune(keep))

    async def _write(self, blob: Blob) -> None:
        await self._objects.put(f"blobs/{blob.name}.gz", await asyncio.to_thread(blob.compressed))

    # -- restore ---

    async def restore(self, backup: str = "", *, replace: bool = False) -> Manifest:
        """Activate a backup, the latest by default.

        Raises `NoBackupError`, also for a backup of another region, `DamagedBackupError`, and `NotEmptyError` if there
        are articles and not `replace`.
        """
        async with self._mutex, self._reporting_progress("restore"):
            manifest = await self._read_manifest(backup) if backup else await self._latest()
            if manifest is None:
                raise NoBackupError(f"{self.location} has no backup")
            region = manifest.region or self._borders.region
            if not self._borders.admits("backup", data=region, asset=manifest.id):
                raise NoBackupError(f"backup {manifest.id} is of region {region}: it is restored there only")
            await self._knowledge_base.restore(await self._read_dump(manifest), replace=replace)
            _log.info("backup.restored", backup=manifest.id, passages=manifest.passages)
            return manifest

    async def _read_dump(self, manifest: Manifest) -> StoreDump:
        names = sorted(manifest.blobs)
        contents = await self._transfer(names, self._read_blob, "restore")
        return await asyncio.to_thread(unpack_dump, manifest, dict(zip(names, contents, strict=True)))

    async def _read_blob(self, name: str) -> bytes:
        try:
            compressed = await self._objects.get(f"blobs/{name}.gz")
        except ObjectMissingError as error:
            raise DamagedBackupError(str(error)) from error
        return await asyncio.to_thread(decompress_blob, name, compressed)

    # -- list and prune ---

    async def manifests(self) -> list[Manifest]:
        """Read the manifests of all readable backups, newest first."""
        return [manifest async for manifest in self._readable_manifests()]

    async def _latest(self) -> Manifest | None:
        async for manifest in self._readable_manifests():
            return manifest
        return None

    async def _readable_manifests(self) -> AsyncIterator[Manifest]:
        for id_ in sorted(await self._objects.list_objects("manifests"), reverse=True):
            try:
                manifest = await self._read_manifest(id_)
            except (NoBackupError, DamagedBackupError) as error:
                _log.warning("backup.unreadable", backup=id_, error=str(error))
                continue
            yield manifest

    async def _read_manifest(self, id_: str) -> Manifest:
        try:
            return _decode_manifest(await self._objects.get(f"manifests/{token(id_, 'backup')}"))
        except ObjectMissingError as error:
            raise NoBackupError(f"{self.location} has no backup {id_}") from error
        except DecodeError as error:
            raise DamagedBackupError(f"backup {id_}: {error}") from error

    async def prune(self, keep: int, *, now: float | None = None) -> list[str]:
        """Delete all but the newest `keep` backups, then blobs that no backup references; return the deleted ids."""
        expired = expired_backups(list(await self._objects.list_objects("manifests")), keep)
        await self._objects.delete([f"manifests/{id_}" for id_ in expired])
        blobs = {name.removesuffix(".gz"): at for name, at in (await self._objects.list_objects("blobs")).items()}
        before = (time.time() if now is None else now) - _BLOB_GRACE_PERIOD_S
        unreferenced = unreferenced_blobs(blobs, await self.manifests(), before=before)
        await self._objects.delete([f"blobs/{name}.gz" for name in unreferenced])
        return expired

    # -- schedule ---

    async def run(self, interval_s: float) -> None:
        """Take a backup if the latest is older than the interval and the content has changed; until cancelled."""
        _CURRENT_AT.set(0.0)
        await asyncio.sleep(min(_FIRST_BACKUP_DELAY_S, interval_s))
        while True:
            try:
                delay_s = await self._take_if_due(interval_s)
            except Exception as error:  # the schedule outlives any failure of store, bus or object store; it retries
                _FAILED.inc()
                _log.error("backup.failed", location=self.location, error=reason_of(error))
                delay_s = min(interval_s, _RETRY_DELAY_S)
            await asyncio.sleep(delay_s)

    async def follow_changes(self, delay_s: float) -> None:
        """Take a backup at most `delay_s` after a change of this process, or of an earlier one; until cancelled."""
        saved = -1
        while True:
            writes = self._knowledge_base.writes
            if writes != saved:
                try:
                    await self.take_if_changed()
                    saved = writes
                except Exception as error:  # like the schedule, it outlives any failure and tries again
                    _FAILED.inc()
                    _log.error("backup.failed", location=self.location, error=reason_of(error))
            await asyncio.sleep(delay_s)

    async def _take_if_due(self, interval_s: float) -> float:
        """Return the seconds until the next backup is due."""
        latest = await self._latest()
        if latest is not None:
            _publish_age(latest.created_at)
            delay_s = latest.created_at + interval_s - time.time()
            if delay_s > 0:
                return delay_s
        await self.take_if_changed()
        return interval_s

    # -- progress ---

    async def _transfer(self, items: Iterable[T], work: Callable[[T], Awaitable[R]], operation: str) -> list[R]:
        """Run work for all items, several concurrently, and return the results in order; the first failure aborts."""
        pending = list(items)
        results: list[R] = []
        self._report(operation, 0, len(pending))
        for start in range(0, len(pending), _MAX_CONCURRENT_TRANSFERS):
            batch = pending[start : start + _MAX_CONCURRENT_TRANSFERS]
            results += await asyncio.gather(*(work(item) for item in batch))
            self._report(operation, len(results), len(pending))
        return results

    @asynccontextmanager
    async def _reporting_progress(self, operation: str) -> AsyncIterator[None]:
        self._report(operation, 0, 0)
        try:
            yield
        finally:
            self.progress = None

    def _report(self, operation: str, done: int, total: int) -> None:
        self.progress = BackupProgress(operation=operation, done=done, total=total)


def _publish_age(created_at: float) -> None:
    """Set the metrics of the latest backup, which may be of an earlier process."""
    _MADE_AT.set(created_at)
    _CURRENT_AT.set(created_at)

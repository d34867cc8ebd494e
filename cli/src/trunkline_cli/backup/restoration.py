"""Restore of a backup into a new data folder, or into empty servers elsewhere, compared with the manifest."""

from __future__ import annotations

import asyncio
import contextlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_chassis.errors import BusError, ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.regional_objects import claim_home
from trunkline_chassis.residency import append_violation, refuse
from trunkline_chassis.stream_snapshots import CHUNK_BYTES, StreamSnapshot, restore_snapshot, stored_streams
from trunkline_protocols.ids import Instance
from trunkline_protocols.rules.residency import may_cross
from trunkline_supervisor.adapters.folder_lock import exclusive_lock
from trunkline_supervisor.settings import ERASURES_PATH, WRAPPING_KEY_PATH, SuiteSettings

from trunkline_cli.backup.archive import restore_archive
from trunkline_cli.backup.keys import with_newest_keys
from trunkline_cli.backup.manifest import (
    ArchivePart,
    KnowledgePart,
    Part,
    StreamPart,
    SuiteManifest,
    archive_differences,
    stream_differences,
    with_copies,
)
from trunkline_cli.backup.servers import Broker, new_archive, new_broker
from trunkline_cli.backup.store import BackupStore
from trunkline_cli.errors import CommandError

_PROCESS: Final = ("backup", Instance("backup"))
_STATE: Final = ("nats", "postgres")
_DELETE_TIMEOUT_S: Final = 30.0
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


@dataclass(frozen=True, slots=True)
class Restoration:
    """Restores one backup; no process of a suite may run meanwhile."""

    settings: SuiteSettings
    store: BackupStore
    replace: bool = False
    """Whether streams and tables of servers elsewhere may be replaced; a data folder is never."""
    key_file: Path | None = None
    """Wrapping key of the customers' texts, for a new data folder: no backup holds it."""
    erasures_file: Path | None = None
    """List of the erasures until now: a backup knows those before it only."""
    keep_archive: bool = False
    """Whether to keep the archive of PostgreSQL elsewhere, which is later than the backup, and roll the streams forward
    to it."""

    async def run(self, backup: str) -> SuiteManifest:
        """Check every part, create everything, and compare it with the manifest.

        Raises `CommandError` if a part is damaged, the servers are not empty, or something differs afterwards.
        """
        manifest = await self.store.manifest(backup)
        await self._require_region(manifest)
        self._require_key(manifest)
        if self.keep_archive:
            if self.settings.postgres_dsn is None:
                raise CommandError("the archive to keep must be named by TRUNKLINE_POSTGRES_DSN")
            manifest = await with_newest_keys(self.store, manifest)
        await verify(self.store, manifest)
        folder = self.settings.data_dir
        _refuse_state(folder)
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        with exclusive_lock(folder):
            # First, since the servers take their passwords from them.
            if manifest.secrets is not None:
                await self._restore_secrets(manifest.secrets, folder)
            _copy(self.key_file, folder / WRAPPING_KEY_PATH)
            _copy(self.erasures_file, folder / ERASURES_PATH)
            try:
                async with new_broker(self.settings) as broker:
                    differences = await self._restore_streams(manifest, broker)
            except BusError as error:
                raise CommandError(f"NATS: {error}") from error
            if manifest.archive is not None and not self.keep_archive:
                differences += await self._restore_archive(manifest.archive)
            if manifest.knowledge is not None:
                await self._restore_knowledge(manifest.knowledge)
        if differences:
            raise CommandError(f"the restored state differs from the backup: {'; '.join(differences)}")
        return manifest

    async def _require_region(self, manifest: SuiteManifest) -> None:
        """Refuse a backup of another region; servers elsewhere that hold a suite already record the attempt."""
        region = self.settings.region
        if may_cross("backup", data=manifest.region, place=region):
            return
        violation = refuse("backup", data=manifest.region, place=region, process=_PROCESS, asset=manifest.id)
        if self.settings.nats_url is not None:
            async with new_broker(self.settings) as broker:
                with contextlib.suppress(BusError):  # an empty server has no stream for it
                    await append_violation(broker.bus, region, violation, f"backup-{manifest.id}-{int(violation.at)}")
        raise CommandError(
            f"backup {manifest.id} is of region {manifest.region!r}, and TRUNKLINE_REGION is {region!r}: "
            "a backup is restored in its own region only"
        )

    def _require_key(self, manifest: SuiteManifest) -> None:
        """Refuse to restore encrypted texts without their key: the suite would draw another one, and read none."""
        given = (self.key_file, self.settings.key_file, self.settings.nats_url)
        if manifest.has_customer_keys and all(source is None for source in given):
            raise CommandError(
                "the customers' texts in this backup are encrypted; give the wrapping key with --key-file "
                f"({WRAPPING_KEY_PATH} of the data folder that was backed up) or TRUNKLINE_KEY_FILE"
            )

    async def _restore_secrets(self, part: Part, folder: Path) -> None:
        async with self.store.verified(part) as file:
            await asyncio.to_thread(_extract, file, folder)

    async def _restore_streams(self, manifest: SuiteManifest, broker: Broker) -> list[str]:
        existing = set(await stored_streams(broker.bus)) & {stream.config["name"] for stream in manifest.streams}
        for name in sorted(existing) if self.replace else ():
            await broker.bus.api(f"STREAM.DELETE.{name}", timeout_s=_DELETE_TIMEOUT_S)
        if existing and not self.replace:
            raise CommandError(
                f"streams exist already: {', '.join(sorted(existing))}; restore into an empty server, or with --replace"
            )
        return [line for stream in manifest.streams for line in await self._restore_stream(stream, broker)]

    async def _restore_stream(self, stream: StreamPart, broker: Broker) -> list[str]:
        snapshot = StreamSnapshot(config=with_copies(stream.config, broker.copies), state=stream.state)
        async with self.store.verified(stream.content) as file:
            return stream_differences(stream, await restore_snapshot(broker.bus, snapshot, _chunks(file)))

    async def _restore_archive(self, archive: ArchivePart) -> list[str]:
        async with self.store.verified(archive.content) as file, new_archive(self.settings) as target:
            restored = await restore_archive(target.dsn, file, is_embedded=target.is_embedded, replace=self.replace)
            return archive_differences(archive, restored)

    async def _restore_knowledge(self, knowledge: KnowledgePart) -> None:
        """Put the backup of the knowledge base where its service looks for backups."""
        target = ObstoreObjectStore(self.settings.backup_url or str(self.settings.data_dir.absolute() / "backups"))
        try:
            await claim_home(target, self.settings.region, "backup")
            # The manifest is the first part and is written last.
            for part in reversed(knowledge.contents):
                async with self.store.verified(part) as file:
                    await target.put(part.object.removeprefix("knowledge/"), file)
        except ObjectStoreUnavailableError as error:
            raise CommandError(str(error)) from error


async def verify(store: BackupStore, manifest: SuiteManifest) -> None:
    """Read every part; raise `CommandError` if one is missing or differs from its hash."""
    for part in manifest.parts:
        async with store.verified(part):
            pass


def _refuse_state(folder: Path) -> None:
    """Refuse a folder with state of servers: a restore never mixes with it."""
    for name in _STATE:
        if (folder / name).is_dir() and any((folder / name).iterdir()):
            raise CommandError(f"{folder / name} holds a suite already; restore into a new folder with --data-dir")


def _extract(file: Path, folder: Path) -> None:
    with tarfile.open(file) as tar:
        tar.extractall(folder, filter="data")
    for path in (folder / "secrets", *(folder / "secrets").rglob("*")):
        path.chmod(_PRIVATE_FOLDER if path.is_dir() else _PRIVATE_FILE)


def _copy(source: Path | None, target: Path) -> None:
    if source is None:
        return
    try:
        content = source.read_bytes()
    except OSError as error:
        raise CommandError(f"{source}: {error.strerror}") from error
    target.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    target.touch(mode=_PRIVATE_FILE)
    target.write_bytes(content)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk

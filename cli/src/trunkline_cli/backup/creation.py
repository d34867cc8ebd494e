"""Creation of a backup from a running suite, which goes on serving."""

from __future__ import annotations

import asyncio
import contextlib
import tarfile
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Final

from trunkline_chassis.errors import BusError, ObjectMissingError, ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.regional_objects import ObjectsElsewhereError
from trunkline_chassis.residency import append_violation, refuse
from trunkline_chassis.stream_snapshots import stored_streams, take_snapshot
from trunkline_protocols.decoding import DecodeError, Decoder
from trunkline_protocols.ids import Instance
from trunkline_rag.core.backups import Manifest as KnowledgeManifest
from trunkline_supervisor.settings import WRAPPING_KEY_PATH, SuiteSettings

from trunkline_cli.backup.archive import dump_archive
from trunkline_cli.backup.manifest import (
    ArchivePart,
    KnowledgePart,
    Part,
    StreamPart,
    SuiteManifest,
    backup_id,
    snapshot_order,
)
from trunkline_cli.backup.servers import Broker, running_archive, running_broker
from trunkline_cli.backup.store import BackupStore
from trunkline_cli.errors import CommandError
from trunkline_cli.knowledge.backups import take_backup
from trunkline_cli.settings import ClientSettings

_PROCESS: Final = ("backup", Instance("backup"))
_BLOBS: Final = "knowledge/blobs"
_decode_knowledge: Final = Decoder[KnowledgeManifest](KnowledgeManifest).decode


class OptionalPart(StrEnum):
    """Parts that a backup may lack."""

    ARCHIVE = "archive"
    KNOWLEDGE = "knowledge"
    SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class Creation:
    """Takes one backup."""

    settings: SuiteSettings
    client: ClientSettings
    store: BackupStore
    without: Collection[OptionalPart] = ()

    async def run(self) -> SuiteManifest:
        """Write all parts, then the manifest."""
        await self._claim_store()
        begun_at = time.time()
        id_ = backup_id(begun_at)
        # In the order of `manifest`: a part may only refer to parts that are taken later.
        archive = await self._archive(id_) if OptionalPart.ARCHIVE not in self.without else None
        secrets = await self._secrets(id_) if OptionalPart.SECRETS not in self.without else None
        knowledge = await self._knowledge() if OptionalPart.KNOWLEDGE not in self.without else None
        try:
            async with running_broker(self.settings) as broker:
                names = snapshot_order(await stored_streams(broker.bus))
                streams = [await self._stream(broker, id_, name) for name in names]
        except BusError as error:
            raise CommandError(f"NATS: {error}") from error
        manifest = SuiteManifest(
            id=id_,
            begun_at=begun_at,
            finished_at=time.time(),
            region=self.settings.region,
            version=version("trunkline-cli"),
            streams=streams,
            archive=archive,
            knowledge=knowledge,
            secrets=secrets,
        )
        await self.store.put_manifest(manifest)
        return manifest

    async def _claim_store(self) -> None:
        """Claim the store for the region of the suite; its streams record the attempt for one of another region."""
        region = self.settings.region
        try:
            await self.store.claim(region)
        except ObjectsElsewhereError as error:
            violation = refuse("backup", data=region, place=error.home, process=_PROCESS, asset="store")
            with contextlib.suppress(BusError, CommandError):
                async with running_broker(self.settings) as broker:
                    await append_violation(broker.bus, region, violation, f"backup-store-{int(violation.at)}")
            raise CommandError(str(error)) from error

    async def _archive(self, id_: str) -> ArchivePart:
        source = running_archive(self.settings)
        with tempfile.TemporaryDirectory(prefix="trunkline-backup-") as folder:
            file = Path(folder) / "archive.dump"
            rows = await dump_archive(source.dsn, file, is_embedded=source.is_embedded)
            return ArchivePart(content=await self.store.put_file(f"{id_}/archive.dump", file), rows=rows)

    async def _secrets(self, id_: str) -> Part | None:
        """Return the secrets of the data folder, None for a suite that keeps them elsewhere.

        Not the wrapping key: with it, the texts of a customer who is erased later could be read from the backup.
        """
        folder = self.settings.data_dir / "secrets"
        if not folder.is_dir():
            return None
        async with self.store.written(f"{id_}/secrets.tar") as (out, part):
            with tarfile.open(fileobj=out, mode="w") as tar:
                tar.add(folder, arcname="secrets", filter=self._without_wrapping_key)
        return part()

    def _without_wrapping_key(self, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        file = self.settings.data_dir / member.name
        own = self.settings.data_dir / WRAPPING_KEY_PATH
        configured = self.settings.key_file
        return None if file == own or (configured is not None and file.resolve() == configured.resolve()) else member

    async def _stream(self, broker: Broker, id_: str, name: str) -> StreamPart:
        async with self.store.written(f"{id_}/streams/{name}") as (out, part):
            snapshot = await take_snapshot(broker.bus, name, out.write)
        return StreamPart(content=part(), config=snapshot.config, state=snapshot.state)

    async def _knowledge(self) -> KnowledgePart:
        """Take a backup of the knowledge base, and copy what the store does not have yet."""
        taken = await asyncio.to_thread(take_backup, self.client, full=False, keep=0)
        source = ObstoreObjectStore(taken.location)
        known = await self.store.names(_BLOBS)
        id_ = taken.backup.id
        try:
            manifest = await source.get(f"manifests/{id_}")
            blobs = sorted(f"{name}.gz" for name in _decode_knowledge(manifest).blobs)
            contents = [await self.store.put(f"knowledge/manifests/{id_}", manifest)]
            for blob in blobs:
                content = await source.get(f"blobs/{blob}")
                contents.append(await self.store.put(f"{_BLOBS}/{blob}", content, is_stored=blob in known))
        except (ObjectMissingError, ObjectStoreUnavailableError, DecodeError) as error:
            raise CommandError(f"{error}; run the command where the knowledge service runs") from error
        return KnowledgePart(backup=id_, contents=contents)

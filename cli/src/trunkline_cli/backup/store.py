"""The store of backups: parts with their hashes, and manifests, in a folder or an object store.

region                        of the suites that are backed up here
<backup>/manifest.json        written last
<backup>/streams/<name>       snapshot of a stream, as the server sends it
<backup>/archive.dump         custom format of pg_dump
<backup>/secrets.tar          secrets of the data folder
knowledge/blobs/<sha256>.gz   shared by all backups
knowledge/manifests/<id>
keys/<id>...                  keys of customers alone, see `keys`
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from trunkline_chassis.errors import ObjectMissingError, ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.regional_objects import ObjectsElsewhereError, claim_home
from trunkline_protocols.decoding import DecodeError
from trunkline_protocols.ids import InvalidIdError, token

from trunkline_cli.backup.manifest import FORMAT, Part, SuiteManifest, decode_manifest
from trunkline_cli.errors import CommandError

_MANIFEST: Final = "manifest.json"
_BLOCK_BYTES: Final = 1024 * 1024


class BackupStore:
    """Writes and reads backups. Every method raises `CommandError` if the store does not answer."""

    def __init__(self, url: str) -> None:
        """Take a folder, created if missing, or an address such as s3://bucket/prefix."""
        self._objects = ObstoreObjectStore(url)

    @property
    def location(self) -> str:
        """Location, for messages."""
        return self._objects.location

    async def claim(self, region: str) -> None:
        """Claim the store for a region; raises `ObjectsElsewhereError` for that of another one."""
        try:
            await claim_home(self._objects, region, "backup")
        except ObjectsElsewhereError:
            raise
        except ObjectStoreUnavailableError as error:
            raise CommandError(str(error)) from error

    # -- parts ---

    async def put_file(self, name: str, file: Path) -> Part:
        """Write the content of a file as a part."""
        part = await asyncio.to_thread(_part_of, name, file)
        with _map_errors():
            await self._objects.put(name, file)
        return part

    async def put(self, name: str, content: bytes, *, is_stored: bool = False) -> Part:
        """Write a small part; one that is stored already, under the hash of its content, is only described."""
        if not is_stored:
            with _map_errors():
                await self._objects.put(name, content)
        return Part(object=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    @asynccontextmanager
    async def written(self, name: str) -> AsyncIterator[tuple[BinaryIO, Callable[[], Part]]]:
        """Yield an open file whose content becomes a part at the end of the block, and a function that returns it."""
        parts: list[Part] = []
        with tempfile.TemporaryDirectory(prefix="trunkline-backup-") as folder:
            file = Path(folder) / "part"
            with file.open("wb") as out:
                yield out, lambda: parts[0]
            parts.append(await self.put_file(name, file))

    @asynccontextmanager
    async def verified(self, part: Part) -> AsyncIterator[Path]:
        """Yield a file with the content of a part; raise `CommandError` if it differs from its hash."""
        with tempfile.TemporaryDirectory(prefix="trunkline-backup-") as folder:
            file = Path(folder) / "part"
            with _map_errors():
                await self._objects.download(part.object, file)
            found = await asyncio.to_thread(_part_of, part.object, file)
            if found != part:
                raise CommandError(f"{self.location}: {part.object} is damaged: its SHA-256 differs from the manifest")
            yield file

    async def get(self, name: str) -> bytes:
        """Read a small object."""
        with _map_errors():
            return await self._objects.get(name)

    async def delete(self, names: list[str]) -> None:
        """Delete objects, in this order."""
        with _map_errors():
            await self._objects.delete(names)

    async def names(self, prefix: str) -> set[str]:
        """Return the names of the objects below a prefix, without it."""
        with _map_errors():
            return set(await self._objects.list_objects(prefix))

    # -- manifests ---

    async def put_manifest(self, manifest: SuiteManifest) -> None:
        """Write the manifest, with which the backup comes into existence."""
        with _map_errors():
            await self._objects.put(f"{manifest.id}/{_MANIFEST}", msgspec.json.format(msgspec.json.encode(manifest)))

    async def manifests(self) -> list[SuiteManifest]:
        """Read all manifests, newest first."""
        ids = [name.removesuffix(f"/{_MANIFEST}") for name in await self.names("") if name.endswith(f"/{_MANIFEST}")]
        return [await self.manifest(id_) for id_ in sorted(ids, reverse=True)]

    async def manifest(self, id_: str = "") -> SuiteManifest:
        """Read a manifest, the latest by default."""
        if not id_:
            found = await self.manifests()
            if not found:
                raise CommandError(f"{self.location} has no backup")
            return found[0]
        try:
            with _map_errors():
                manifest = decode_manifest(await self._objects.get(f"{token(id_, 'backup')}/{_MANIFEST}"))
        except (DecodeError, InvalidIdError) as error:
            raise CommandError(f"backup {id_}: {error}") from error
        if manifest.format != FORMAT:
            raise CommandError(f"backup {id_} has format {manifest.format}; this version reads {FORMAT}")
        return manifest

    async def last_before(self, moment: float) -> SuiteManifest:
        """Return the last backup that was complete at a moment, in Unix seconds."""
        for manifest in await self.manifests():
            if manifest.finished_at <= moment:
                return manifest
        raise CommandError(f"{self.location} has no backup that was complete at that moment")

    async def prune(self, keep: int) -> None:
        """Delete all but the newest `keep` backups, each beginning with its manifest, and blobs that none refers to."""
        found = await self.manifests()
        kept = {part.object for manifest in found[:keep] for part in manifest.parts}
        expired = [part.object for manifest in found[keep:] for part in manifest.parts if part.object not in kept]
        with _map_errors():
            await self._objects.delete([f"{manifest.id}/{_MANIFEST}" for manifest in found[keep:]])
            await self._objects.delete(expired)


def _part_of(name: str, file: Path) -> Part:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as content:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return Part(object=name, size=size, sha256=digest.hexdigest())


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except (ObjectStoreUnavailableError, ObjectMissingError) as error:
        raise CommandError(str(error)) from error

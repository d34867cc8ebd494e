"""Backups of the customers' keys alone, more often than those of the suite.

Messages that are rolled forward from the archive are encrypted, those of a new customer with a key that the last backup
of the suite lacks. A newer bucket of keys never does harm: a key that is erased is not used, wherever it comes from. As
every backup, these hold no wrapping key.

keys/<id>.json       written last
keys/<id>/snapshot   of the bucket
"""

from __future__ import annotations

import time
from typing import Final

import msgspec
from trunkline_chassis.errors import BusError
from trunkline_chassis.stream_snapshots import take_snapshot
from trunkline_protocols import streams
from trunkline_protocols.decoding import DecodeError, Decoder
from trunkline_supervisor.settings import SuiteSettings

from trunkline_cli.backup.manifest import StreamPart, SuiteManifest
from trunkline_cli.backup.servers import running_broker
from trunkline_cli.backup.store import BackupStore
from trunkline_cli.errors import CommandError

STREAM: Final = f"KV_{streams.CUSTOMER_KEYS.name}"
_FOLDER: Final = "keys"
_KEPT: Final = 3


class KeysBackup(msgspec.Struct, frozen=True, kw_only=True):
    """One backup of the bucket."""

    id: str
    taken_at: float
    """Unix time before the snapshot."""
    region: str
    stream: StreamPart


_decode: Final = Decoder[KeysBackup](KeysBackup).decode


async def back_up_keys(settings: SuiteSettings, store: BackupStore) -> KeysBackup:
    """Write a snapshot of the bucket, then its description; remove all but the newest ones."""
    taken_at = time.time()
    id_ = str(round(taken_at * 1_000))  # sorts by time
    try:
        async with running_broker(settings) as broker, store.written(f"{_FOLDER}/{id_}/snapshot") as (out, part):
            snapshot = await take_snapshot(broker.bus, STREAM, out.write)
    except BusError as error:
        raise CommandError(f"NATS: {error}") from error
    taken = KeysBackup(
        id=id_,
        taken_at=taken_at,
        region=settings.region,
        stream=StreamPart(content=part(), config=snapshot.config, state=snapshot.state),
    )
    await store.put(f"{_FOLDER}/{id_}.json", msgspec.json.encode(taken))
    for old in (await _ids(store))[_KEPT:]:
        # A bucket that was created again, with fewer keys, does not replace the one that was lost.
        if _size(await _read(store, old)) <= _size(taken):
            await store.delete([f"{_FOLDER}/{old}.json", f"{_FOLDER}/{old}/snapshot"])
    return taken


async def with_newest_keys(store: BackupStore, manifest: SuiteManifest) -> SuiteManifest:
    """Return a backup with the newest keys of its region in place of its own, if there are newer ones.

    A bucket that ends before the one of the backup was created again since, and is not taken.
    """
    own = next((each.state["last_seq"] for each in manifest.streams if each.config["name"] == STREAM), 0)
    for id_ in await _ids(store):
        found = await _read(store, id_)
        if found.region == manifest.region and found.taken_at > manifest.begun_at and _size(found) >= own:
            others = [each for each in manifest.streams if each.config["name"] != STREAM]
            return msgspec.structs.replace(manifest, streams=[found.stream, *others])
    return manifest


def _size(backup: KeysBackup) -> int:
    """Return the last sequence of the bucket, which only grows."""
    return int(backup.stream.state["last_seq"])


async def _read(store: BackupStore, id_: str) -> KeysBackup:
    name = f"{_FOLDER}/{id_}.json"
    try:
        return _decode(await store.get(name))
    except DecodeError as error:
        raise CommandError(f"{store.location}: {name}: {error}") from error


async def _ids(store: BackupStore) -> list[str]:
    """Return the ids of the backups of keys, newest first."""
    names = (name for name in await store.names(_FOLDER) if name.endswith(".json"))
    return sorted((name.removesuffix(".json") for name in names), reverse=True)

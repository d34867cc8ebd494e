"""The archives that records went to, checked against the rows that name them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from trunkline_chassis.errors import ObjectMissingError, ObjectStoreUnavailableError

from trunkline_audit.adapters.archive_reader import StoredObject, list_objects, lost_leaves, rows_in
from trunkline_audit.core.records import changed_columns
from trunkline_audit.core.retention.manifest import MANIFEST_NAME, read_manifest, unpack
from trunkline_audit.core.verifier import Verification, raw_of
from trunkline_audit.ports import ArchiveObjects


@dataclass(slots=True)
class ArchiveCheck:
    """The result: records that were found in archives, archives that cannot be read now, and faults."""

    verified: int = 0
    unread: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


async def check_archives(
    connection: asyncpg.Connection, open_objects: Callable[[str], ArchiveObjects], trusted_key: str = ""
) -> ArchiveCheck:
    """Verify all objects, and that each row that names one is in it; raises `asyncpg.PostgresError`."""
    check = ArchiveCheck()
    check.faults += [
        f"record {leaf}: its bytes are neither in the table nor in a verified archive"
        for leaf in await lost_leaves(connection)
    ]
    objects = await list_objects(connection)
    for run in dict.fromkeys(each.run for each in objects):
        await _check_run(connection, open_objects, [each for each in objects if each.run == run], trusted_key, check)
    return check


async def _check_run(
    connection: asyncpg.Connection,
    open_objects: Callable[[str], ArchiveObjects],
    objects: list[StoredObject],
    trusted_key: str,
    check: ArchiveCheck,
) -> None:
    run, store = objects[0].run, open_objects(objects[0].location)
    verification = Verification(trusted_key=trusted_key)
    try:
        manifest = read_manifest(await store.get(f"{run}/{MANIFEST_NAME}"))
        verification.start_archive(manifest)
        described = {f"{run}/{each['name']}": each for each in manifest["objects"]}
        for each in objects:
            packed = await store.get(each.name)
            await asyncio.to_thread(verification.check_object, described[each.name], packed)
            entries = await asyncio.to_thread(unpack, packed)
            check.faults += await _compare(connection, each, entries)
            check.verified += sum(entry["kind"] == "record" for entry in entries)
    except ObjectStoreUnavailableError as error:
        check.unread.append(f"archive {run}: {error}")
    except ObjectMissingError as error:
        check.faults.append(f"archive {run}: {error}")
    except (ValueError, KeyError, TypeError) as error:
        check.faults.append(f"archive {run}: cannot be read: {type(error).__name__}")
    check.faults += [f"archive {run}: {fault}" for fault in verification.faults]


async def _compare(connection: asyncpg.Connection, stored: StoredObject, entries: list[dict[str, Any]]) -> list[str]:
    """Return the rows that name an object and differ from it."""
    rows = await rows_in(connection, stored.id)
    raw = {entry["leaf"]: raw_of(entry) for entry in entries if entry["kind"] == "record"}
    faults = [f"record {leaf}: it is not in object {stored.name}" for leaf in rows.keys() - raw.keys()]
    for leaf in rows.keys() & raw.keys():
        names = changed_columns(rows[leaf]._replace(raw=raw[leaf]))
        faults += [f"record {leaf}: column {name} was changed" for name in names]
    return sorted(faults)

"""One run of retention: archive, verify, trim (ADR 0036). Each step is durable before the next, and can be repeated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from trunkline_chassis.errors import ObjectExistsError
from trunkline_protocols.holds import HoldPlaced
from trunkline_protocols.rules.holds import active_holds

from trunkline_audit.core import verifier
from trunkline_audit.core.retention.decisions import RecordGroup, covers, decide
from trunkline_audit.core.retention.manifest import (
    MANIFEST_NAME,
    VERIFIER_NAME,
    ArchiveRun,
    manifest_of,
    object_of,
    pack,
    read_manifest,
    run_name,
)
from trunkline_audit.core.retention.plan import RetentionPlan
from trunkline_audit.core.retention.policy import CONVERSATION_KINDS, KINDS, RecordKind, RetentionPolicy
from trunkline_audit.core.retention.trimming import PendingRecord
from trunkline_audit.ports import ArchiveObjects, RetentionArchive, RetentionSession, StreamTrimmer

_log: Final = structlog.get_logger(__name__)
_MAX_RECORDS: Final = 10_000
_MAX_BYTES: Final = 32 * 1024 * 1024
"""Limits of an object, which one conversation alone may exceed."""
_TRIM_BATCH: Final = 100
"""Conversations that are trimmed in one transaction."""


class DamagedArchiveError(Exception):
    """An archive that was read back is not the one that was written: nothing is trimmed."""


@dataclass(slots=True)
class RunReport:
    """The result of a run. `archive` is the name of its archive, empty if there was nothing to archive."""

    archive: str = ""
    objects: int = 0
    archived: int = 0
    trimmed: int = 0
    trimmed_by_kind: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    """Conversations that wait for a consumer."""
    held: int = 0
    """Records that a hold keeps."""
    markers: int = 0


class RetentionRun:
    """Plans and runs retention of one region."""

    def __init__(
        self,
        archive: RetentionArchive,
        streams: StreamTrimmer,
        open_objects: Callable[[str], ArchiveObjects],
        policy: RetentionPolicy,
        *,
        location: str,
        now: Callable[[], datetime],
    ) -> None:
        """`location` is that of new archives; `open_objects` opens any."""
        self._archive = archive
        self._streams = streams
        self._open_objects = open_objects
        self._policy = policy
        self._location = location
        self._now = now
        self._holds: Sequence[HoldPlaced] = ()

    async def plan(self) -> RetentionPlan:
        """Return the effect of a run now, without any change."""
        plan = RetentionPlan(self._now())
        async with self._archive.open(locked=False) as session:
            await self._read_holds(session)
            header = await session.header()
            if header:
                async for group in self._groups(session, header[1]["size"], plan.as_of, with_kept=True):
                    plan.add(group, decide(group, self._policy, self._holds, plan.as_of))
        return plan

    async def run(self) -> RunReport:
        """Archive, verify and trim; raises `ArchiveLockedError` if another run is in progress."""
        async with self._archive.open(locked=True) as session:
            try:
                async with asyncio.TaskGroup() as tasks:
                    keeping = tasks.create_task(session.hold())
                    report = await self._run(session)
                    keeping.cancel()
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None
        return report

    async def _run(self, session: RetentionSession) -> RunReport:
        await self._read_holds(session)
        report = RunReport()
        run = await session.unverified()
        if run is not None:
            _log.info("retention.resumed", archive=run.name)
        run = await self._write_objects(session, run, report)
        if run is not None:
            await self._finish_archive(session, run, report)
        await self._trim(session, report)
        await self._purge_markers(session, report)
        return report

    async def _read_holds(self, session: RetentionSession) -> None:
        """Read the holds of the stream and of the records: one that either of them has counts."""
        self._holds = active_holds([*await session.holds(), *await self._streams.holds()])

    async def _groups(
        self, session: RetentionSession, size: int, as_of: datetime, *, with_kept: bool = False
    ) -> AsyncIterator[RecordGroup]:
        """Yield the records that may be due, with `with_kept` all closed conversations."""
        closed = self._before(CONVERSATION_KINDS, as_of)
        single = self._before(frozenset(KINDS) - CONVERSATION_KINDS, as_of)
        async for page in session.groups(size, closed_before=as_of if with_kept else closed, single_before=single):
            for group in page:
                yield group

    def _before(self, kinds: frozenset[RecordKind], as_of: datetime) -> datetime | None:
        shortest = self._policy.shortest(kinds)
        return as_of - shortest if shortest is not None else None

    # -- archive ---

    async def _write_objects(
        self, session: RetentionSession, run: ArchiveRun | None, report: RunReport
    ) -> ArchiveRun | None:
        """Write all records that are due; return the run, which begins with its first object, None without any."""
        header = await session.header(run.size if run is not None else 0)
        if not header:
            return run
        as_of, size = (run.as_of, run.size) if run is not None else (self._now(), header[1]["size"])
        async for groups in self._chunks(session, size, as_of, report):
            if run is None:
                run = ArchiveRun(run_name(as_of), as_of, size, self._location)
                await session.start(run)
            await self._write_object(session, run, groups, report)
        return run

    async def _chunks(
        self, session: RetentionSession, size: int, as_of: datetime, report: RunReport
    ) -> AsyncIterator[list[RecordGroup]]:
        """Yield the groups of one object after another; those of a conversation stay together."""
        chunk: list[RecordGroup] = []
        records = octets = 0
        async for group in self._groups(session, size, as_of):
            outcome = decide(group, self._policy, self._holds, as_of).outcome
            report.held += group.records if outcome == "held" else 0
            if outcome != "archived":
                continue
            is_next = group.leaf is not None or not chunk or group.conversation != chunk[-1].conversation
            if chunk and is_next and (records + group.records > _MAX_RECORDS or octets + group.bytes > _MAX_BYTES):
                yield chunk
                chunk, records, octets = [], 0, 0
            chunk.append(group)
            records, octets = records + group.records, octets + group.bytes
        if chunk:
            yield chunk

    async def _write_object(
        self, session: RetentionSession, run: ArchiveRun, groups: Sequence[RecordGroup], report: RunReport
    ) -> None:
        header = await session.header(run.size)
        records = await session.records(groups, run.size)
        number = len(await session.objects(run))
        packed = await asyncio.to_thread(pack, header, records)
        written = object_of(run, number, packed, records)
        await self._open_objects(run.location).put_once(written.name, packed)
        await session.add_object(run, number, written, groups, [record["leaf"] for record in records])
        report.archived += written.records
        _log.info("retention.object_written", archive=run.name, object=written.name, records=written.records)

    async def _finish_archive(self, session: RetentionSession, run: ArchiveRun, report: RunReport) -> None:
        """Write the manifest, read everything back and verify it."""
        store = self._open_objects(run.location)
        header = await session.header(run.size)
        objects = await session.objects(run)
        manifest = manifest_of(run, header, objects)
        source = await asyncio.to_thread(Path(verifier.__file__).read_bytes)
        for name, payload in ((VERIFIER_NAME, source), (MANIFEST_NAME, manifest)):
            # One of an earlier attempt stays: the manifest is compared below, any version of the file verifies it.
            with contextlib.suppress(ObjectExistsError):
                await store.put_once(f"{run.name}/{name}", payload)
        await verify_archive(store, run.name, manifest)
        await session.set_verified(run, self._now())
        report.archive, report.objects = run.name, len(objects)
        _log.info("retention.archive_verified", archive=run.name, objects=len(objects), size=run.size)

    # -- trim ---

    async def _trim(self, session: RetentionSession, report: RunReport) -> None:
        async for page in session.pending():
            for batch in _batches(page):
                await self._trim_batch(session, batch, report)

    async def _trim_batch(
        self, session: RetentionSession, conversations: Sequence[Sequence[PendingRecord]], report: RunReport
    ) -> None:
        """Trim the streams of some conversations, then their rows: these show what is left to do."""
        await self._read_holds(session)  # again and again: one that is placed while a long run trims counts
        done: list[PendingRecord] = []
        for records in conversations:
            first = records[0]
            if any(self._is_held(record) for record in records):
                report.held += len(records)
                continue
            is_log = any(record.kind in CONVERSATION_KINDS for record in records)
            if is_log and first.conversation is not None and first.region is not None:
                stored = await session.stored([first.conversation])
                if await self._streams.trim(first.region, first.conversation, stored) == "waiting":
                    report.waiting += 1
                    continue
            done += records
        report.trimmed += await session.trim(done, self._now())
        for record in done:
            report.trimmed_by_kind[record.kind] = report.trimmed_by_kind.get(record.kind, 0) + 1

    def _is_held(self, record: PendingRecord) -> bool:
        return any(covers(hold, record) for hold in self._holds)

    async def _purge_markers(self, session: RetentionSession, report: RunReport) -> None:
        """Purge the last commits of conversations that no resume token can name any more."""
        now = self._now()
        while expired := await session.expired_markers(now - self._policy.marker):
            gone = []
            for conversation, region in expired:
                stored = await session.stored([conversation])
                if await self._streams.purge_marker(region, conversation, stored) == "trimmed":
                    gone.append(conversation)
            await session.set_marker_purged(gone)
            report.markers += len(gone)
            if len(gone) < len(expired):
                return


async def verify_archive(store: ArchiveObjects, name: str, expected: bytes) -> None:
    """Read an archive back and verify it; raises `DamagedArchiveError` if it is not that of a manifest."""
    checked = verifier.Verification()
    try:
        described = read_manifest(await store.get(f"{name}/{MANIFEST_NAME}"))
        # An earlier attempt may have known fewer keys.
        if read_manifest(expected) | {"keys": described["keys"]} != described:
            raise DamagedArchiveError(f"archive {name}: the manifest differs from the one that was written")
        checked.start_archive(described)
        for each in described["objects"]:
            packed = await store.get(f"{name}/{each['name']}")
            await asyncio.to_thread(checked.check_object, each, packed)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedArchiveError(f"archive {name}: {type(error).__name__}") from error
    if checked.faults:
        raise DamagedArchiveError(f"archive {name}: {checked.faults[0]}")


def _batches(records: Sequence[PendingRecord]) -> list[list[list[PendingRecord]]]:
    """Return records by conversation, some conversations to a batch; those without one are alone."""
    by_conversation: dict[str, list[PendingRecord]] = {}
    for record in records:
        by_conversation.setdefault(record.conversation or f"leaf {record.leaf}", []).append(record)
    groups = list(by_conversation.values())
    return [groups[start : start + _TRIM_BATCH] for start in range(0, len(groups), _TRIM_BATCH)]

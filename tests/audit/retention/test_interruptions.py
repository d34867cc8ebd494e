"""A run that is killed at any stage loses nothing, and the next one completes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from trunkline_audit.application.retention_run import DamagedArchiveError
from trunkline_audit.ports import ArchiveLockedError
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import ObjectExistsError, ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_cli.audit import archive as auditor
from trunkline_protocols.holds import HoldReleased

from tests.audit.harness import ArchiveReader, wait_until
from tests.audit.retention import killed_run
from tests.audit.retention.harness import POLICY, ClientRecord, SmallSuite, hold_on, open_suite
from tests.audit.retention.killed_run import KilledRuns, killed_runs, run_when_free
from tests.audit.retention.month import archived, is_complete

pytestmark = pytest.mark.processes


@dataclass(slots=True)
class Due:
    """Conversations that are due, in a suite whose clock is a month ahead."""

    suite: SmallSuite
    records: list[ClientRecord]

    async def assert_nothing_trimmed(self) -> None:
        """All messages are in the streams, all bytes in the table."""
        for record in self.records:
            assert len(await self.suite.stream("INBOX", record)) == len(record.questions) + 1
            assert len(await self.suite.stream("CONVERSATIONS", record)) == len(record.questions) + 1
            assert await self.suite.texts(record) == 2 * (len(record.questions) + 1)

    async def assert_trimmed(self) -> None:
        """Streams have the markers alone, the table no bytes, a verified archive all records."""
        copies = archived(self.suite)
        for record in self.records:
            assert await self.suite.stream("INBOX", record) == []
            assert len(await self.suite.stream("CONVERSATIONS", record)) == 1
            assert await self.suite.texts(record) == 0
            assert is_complete(record, copies[record.conversation])
        checked = await auditor.verify(self.suite.archive.dsn, None, self.suite.signer.public_key.hex())
        assert (checked.faults, checked.unread) == ([], [])
        assert checked.archived == checked.in_archives == sum(2 * len(each.questions) + 2 for each in self.records)


@pytest.fixture
async def due(
    bus: Bus,  # noqa: ARG001 - provisioned
    nats_url: str,
    archive: ArchiveReader,
    tmp_path: Path,
) -> AsyncIterator[Due]:
    """Three conversations, a month later."""
    async with open_suite(nats_url, archive, tmp_path) as suite:
        records = [await suite.traffic.converse() for _ in range(3)]
        await suite.settle()
        suite.clock.days = 30
        yield Due(suite, records)


@pytest.fixture
async def killed(due: Due) -> AsyncIterator[KilledRuns]:
    """The process that forks runs which kill themselves."""
    async with killed_runs(due.suite) as started:
        yield started


async def test_run_that_is_killed_at_any_stage_is_completed_by_the_next(due: Due, killed: KilledRuns) -> None:
    """Nothing is trimmed before manifest and objects are verified; at last there is one archive, once."""
    for number, stage in enumerate(killed_run.STAGES):
        await killed.kill_at(stage)
        if number <= killed_run.STAGES.index("after set_verified"):
            await due.assert_nothing_trimmed()
        await asyncio.sleep(killed_run.LEASE_S)  # of the killed process, which no other one may take before
    await run_when_free(due.suite)
    await due.assert_trimmed()
    assert len(due.suite.files("manifest.json")) == len(due.suite.files("*.zst")) == 1


async def test_second_run_changes_nothing(due: Due, archive: ArchiveReader) -> None:
    """Neither in streams nor in tables nor in the store."""
    await due.suite.retention().run()
    before = (
        await archive.fetch("SELECT leaf, archived, raw, payload FROM messages ORDER BY leaf"),
        due.suite.files("*"),
    )
    report = await due.suite.retention().run()
    assert (report.archive, report.archived, report.trimmed, report.waiting) == ("", 0, 0, 0)
    after = (
        await archive.fetch("SELECT leaf, archived, raw, payload FROM messages ORDER BY leaf"),
        due.suite.files("*"),
    )
    assert after == before
    await due.assert_trimmed()


class SlowStore(ObstoreObjectStore):
    """A store whose first object is written when the test says so."""

    def __init__(self, location: str, begun: asyncio.Event, may_go_on: asyncio.Event) -> None:
        super().__init__(location)
        self._begun = begun
        self._may_go_on = may_go_on

    async def put_once(self, name: str, payload: bytes) -> None:
        self._begun.set()
        await self._may_go_on.wait()
        await super().put_once(name, payload)


async def test_second_run_at_the_same_time_is_refused(due: Due) -> None:
    """The first one renews its lease for as long as it takes."""
    begun, may_go_on = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        first = due.suite.retention(
            holder="first", lease_s=0.5, open_objects=lambda at: SlowStore(at, begun, may_go_on)
        )
        running = tasks.create_task(first.run())
        await begun.wait()
        await asyncio.sleep(0.75)  # beyond the lease, had it not been renewed
        with pytest.raises(ArchiveLockedError, match="another process runs retention"):
            await due.suite.retention(holder="second").run()
        may_go_on.set()
    assert (await running).trimmed > 0
    await due.assert_trimmed()


class DamagingStore(ObstoreObjectStore):
    """A store that gives back other bytes than were written."""

    async def get(self, name: str) -> bytes:
        found = await super().get(name)
        return found[:-9] + b"x" + found[-8:] if name.endswith(".zst") else found


class LosingStore(ObstoreObjectStore):
    """A store that is not there."""

    async def get(self, name: str) -> bytes:
        raise ObjectStoreUnavailableError(f"{self.location}: {name[-4:]} is gone")


@pytest.mark.parametrize(
    ("store", "error"), [(DamagingStore, DamagedArchiveError), (LosingStore, ObjectStoreUnavailableError)]
)
async def test_nothing_is_trimmed_if_the_archive_cannot_be_read_back(
    due: Due, store: type[ObstoreObjectStore], error: type[Exception]
) -> None:
    """Then the run fails; the next one verifies again."""
    with pytest.raises(error):
        await due.suite.retention(open_objects=store).run()
    await due.assert_nothing_trimmed()
    await due.suite.retention().run()
    await due.assert_trimmed()


async def test_other_object_of_that_name_ends_the_run(due: Due, killed: KilledRuns) -> None:
    """Write once: what is there stays."""
    await killed.kill_at("after put .zst")
    [file] = due.suite.files("*.zst")
    await asyncio.to_thread(file.chmod, 0o600)
    await asyncio.to_thread(file.write_bytes, b"other")

    async def is_refused() -> bool:
        try:
            await due.suite.retention().run()
        except ObjectExistsError:
            return True
        except ArchiveLockedError:
            return False
        return False

    await wait_until(is_refused)
    assert file.read_bytes() == b"other"
    await due.assert_nothing_trimmed()


async def test_hold_between_archive_and_trim_keeps_the_records(due: Due, killed: KilledRuns) -> None:
    """They go when it is released."""
    await killed.kill_at("after set_verified")
    held, *others = due.records
    await due.suite.hold(hold_on(held))
    await run_when_free(due.suite)
    assert await due.suite.texts(held) == 2 * len(held.questions) + 2
    assert len(await due.suite.stream("CONVERSATIONS", held)) == len(held.questions) + 1
    assert [await due.suite.texts(record) for record in others] == [0, 0]
    released = HoldReleased(hold="h1", reason="over", released_at=2.0, operator="Ada", role="admin")
    await due.suite.hold(released)
    await due.suite.retention(POLICY).run()
    await due.assert_trimmed()

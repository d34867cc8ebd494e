"""Streams that were restored from an older backup are rolled forward to the archive in PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.provision import provision
from trunkline_chassis.stream_snapshots import stored_streams
from trunkline_cli.backup.creation import Creation, OptionalPart
from trunkline_cli.backup.keys import back_up_keys, with_newest_keys
from trunkline_cli.backup.manifest import SuiteManifest
from trunkline_cli.backup.restoration import Restoration
from trunkline_cli.backup.roll_forward import StreamAdvance, roll_forward
from trunkline_cli.backup.sequenced_append import SequencedStream
from trunkline_cli.backup.store import BackupStore
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings
from trunkline_protocols import streams, subjects
from trunkline_supervisor.settings import SuiteSettings

from tests.audit.harness import (
    ArchiveReader,
    MessageProducer,
    recording,
    stored_messages,
    wait_until_acknowledged,
    wait_until_recorded,
)
from tests.support.nats import nats_server
from tests.support.postgres import PostgresServer, postgres, postgres_server

__all__ = ["postgres", "postgres_server"]

pytestmark = pytest.mark.processes
RESERVE = 1_200
_WITHOUT = (OptionalPart.KNOWLEDGE, OptionalPart.SECRETS, OptionalPart.ARCHIVE)


@pytest.fixture
def nats_url(tmp_path: Path) -> Iterator[str]:
    """Run a server for one test, whose streams it loses."""
    (tmp_path / "nats").mkdir()
    with nats_server(tmp_path / "nats") as url:
        yield url


@pytest.fixture
async def archive(postgres: PostgresServer) -> ArchiveReader:
    """Return an empty archive without schema, for one test."""
    return ArchiveReader(await postgres.create_database(f"audit_{secrets.token_hex(6)}"))


class Site:
    """The servers of a suite, its store of backups, and the loss of its streams."""

    def __init__(self, bus: Bus, nats_url: str, archive: ArchiveReader, folder: Path) -> None:
        """Keep backups below `folder`."""
        self.bus = bus
        self.nats_url = nats_url
        self.archive = archive
        self.producer = MessageProducer(bus)
        self.store = BackupStore(str(folder / "store"))
        self.settings = SuiteSettings(data_dir=folder / "data", nats_url=nats_url, postgres_dsn=archive.dsn)

    async def record(self) -> None:
        """Record everything that the streams have."""
        async with recording(self.nats_url, self.archive):
            await wait_until_recorded(self.bus, self.archive)

    async def back_up(self) -> None:
        """Back up the streams."""
        await Creation(self.settings, ClientSettings(), self.store, _WITHOUT).run()

    async def lose_and_restore(self) -> None:
        """Delete every stream, and restore those of the backup."""
        for name in await stored_streams(self.bus):
            await self.bus.api(f"STREAM.DELETE.{name}")
        await Restoration(self.settings, self.store, replace=True, keep_archive=True).run("")

    async def roll_forward(self, reserve: int = RESERVE) -> dict[str, StreamAdvance]:
        """Roll the streams forward; return the result by stream."""
        advances = await roll_forward(self.bus, self.archive.dsn, region="local", reserve=reserve)
        return {each.stream: each for each in advances}

    async def last(self, stream: str) -> int:
        """Return the last sequence of a stream."""
        return int((await self.bus.api(f"STREAM.INFO.{stream}"))["state"]["last_seq"])

    async def go_on(self) -> None:
        """Append new messages and record them; fails if one is recorded twice, or one of before again."""
        await provision(self.bus, region="local", specialties=[], replicas=1)
        await MessageProducer(self.bus).publish_turns(3)
        async with recording(self.nats_url, self.archive):
            await wait_until_recorded(self.bus, self.archive)
            await wait_until_acknowledged(self.bus)
        await wait_until_recorded(self.bus, self.archive)


@asynccontextmanager
async def running_site(nats_url: str, archive: ArchiveReader, folder: Path) -> AsyncIterator[Site]:
    """Provision a server and yield the site."""
    bus = await connect(nats_url, "test")
    try:
        await provision(bus, region="local", specialties=[], replicas=1)
        yield Site(bus, nats_url, archive, folder)
    finally:
        await bus.close()


async def test_streams_are_as_before_the_loss_and_go_on(nats_url: str, archive: ArchiveReader, tmp_path: Path) -> None:
    """Sequences, subjects and bytes of every stream; records of before are not recorded a second time."""
    async with running_site(nats_url, archive, tmp_path) as site:
        await site.producer.publish_turns(5)
        await site.back_up()
        await site.producer.publish_turns(8)
        await site.record()
        before = await stored_messages(site.bus)
        await site.lose_and_restore()
        assert len(await stored_messages(site.bus)) < len(before)
        advances = await site.roll_forward()
        assert await stored_messages(site.bus) == before
        assert advances["INBOX"].appended > 0
        assert advances["INBOX"].unused == 0
        for stream in ("INBOX", "CONVERSATIONS"):
            assert await site.last(stream) == advances[stream].archived + RESERVE, "no sequence is given a second time"
        assert await site.last("VIEWS") == advances["VIEWS"].archived
        await site.go_on()


async def test_lost_consumer_records_nothing_twice(nats_url: str, archive: ArchiveReader, tmp_path: Path) -> None:
    """The consumer of audit delivers all messages again, with the times at which they were appended again."""
    async with running_site(nats_url, archive, tmp_path) as site:
        await site.back_up()
        await site.producer.publish_turns(4)
        await site.record()
        await site.lose_and_restore()
        await site.roll_forward()
        for stream in streams.AUDITED:
            await site.bus.api(f"CONSUMER.DELETE.{stream.name}.audit")
        await site.go_on()
        for stream in streams.AUDITED:
            await site.bus.api(f"CONSUMER.DELETE.{stream.name}.audit")
        await site.go_on()


async def test_interrupted_roll_forward_is_repeated(
    nats_url: str, archive: ArchiveReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it ended between two messages or before the placeholders were removed."""
    async with running_site(nats_url, archive, tmp_path) as site:
        await site.producer.publish_turns(2)
        await site.back_up()
        await site.producer.publish_turns(6)
        await site.record()
        before = await stored_messages(site.bus)
        await site.lose_and_restore()

        async def give_up(self: SequencedStream) -> None:
            await self._flush()
            raise BusUnavailableError("cut")

        with monkeypatch.context() as patched:
            patched.setattr(SequencedStream, "finish", give_up)
            for _ in streams.AUDITED:
                with pytest.raises(BusUnavailableError):
                    await site.roll_forward()
        await site.roll_forward()
        assert await stored_messages(site.bus) == before
        await site.go_on()


async def test_sequence_of_an_unrecorded_question_is_not_given_again(
    nats_url: str, archive: ArchiveReader, tmp_path: Path
) -> None:
    """A commit may be archived before the message that it answers: without it, a new one would count as answered."""
    async with running_site(nats_url, archive, tmp_path) as site:
        await site.back_up()
        await site.producer.publish_turns(3)
        await site.record()
        await archive.execute(
            "DELETE FROM messages WHERE stream = 'INBOX' AND sequence > 1;"
            "UPDATE positions SET sequence = 1 WHERE stream = 'INBOX'"
        )
        answered = await archive.fetch(
            "SELECT max((payload ->> 'inbox_seq')::int) FROM messages WHERE stream = 'CONVERSATIONS'"
        )
        assert answered[0][0] > 1
        await site.lose_and_restore()
        advances = await site.roll_forward(reserve=0)
        assert advances["INBOX"].archived == 1
        assert await site.last("INBOX") == answered[0][0]
        assert await site.producer.publish_question("new", "Hello?") == answered[0][0] + 1


async def test_missing_record_leaves_its_sequence_unused(nats_url: str, archive: ArchiveReader, tmp_path: Path) -> None:
    """Messages behind it keep theirs."""
    async with running_site(nats_url, archive, tmp_path) as site:
        await site.back_up()
        await site.producer.publish_turns(3)
        await site.record()
        await archive.execute("UPDATE messages SET raw = NULL WHERE stream = 'CONVERSATIONS' AND sequence = 2")
        expected = [each for each in await stored_messages(site.bus) if each[:2] != ("CONVERSATIONS", 2)]
        await site.lose_and_restore()
        advances = await site.roll_forward()
        assert advances["CONVERSATIONS"].unused == 1
        assert await stored_messages(site.bus) == expected


async def test_archive_of_other_streams_is_refused(nats_url: str, archive: ArchiveReader, tmp_path: Path) -> None:
    """Its last common message differs; nothing is appended."""
    async with running_site(nats_url, archive, tmp_path) as site:
        await site.producer.publish_turns(2)
        await site.back_up()
        await site.producer.publish_turns(2)
        await site.record()
        await archive.execute("UPDATE messages SET raw = 'other' WHERE stream = 'NOTICES'")
        await site.lose_and_restore()
        before = [each for each in await stored_messages(site.bus) if each[0] == "NOTICES"]
        with pytest.raises(CommandError, match="stream NOTICES: message 2 is another one in the archive"):
            await site.roll_forward()
        assert [each for each in await stored_messages(site.bus) if each[0] == "NOTICES"] == before
        assert await site.bus.last_message("NOTICES", subjects.notice("local", "all")) is not None


async def test_keys_of_new_customers_are_newer_than_the_backup(
    nats_url: str, archive: ArchiveReader, tmp_path: Path
) -> None:
    """Those of the last backup of keys; an empty bucket, as on new hosts, does not take its place."""
    async with running_site(nats_url, archive, tmp_path) as site:
        await site.producer.publish_turns(1)
        await site.record()
        await site.bus.append("$KV.CUSTOMER_KEYS.default.early", b"1", message_id="early")
        await site.back_up()
        await site.bus.append("$KV.CUSTOMER_KEYS.default.late", b"2", message_id="late")
        taken = await back_up_keys(site.settings, site.store)
        await site.lose_and_restore()
        found = await site.bus.read_messages("KV_CUSTOMER_KEYS", subjects.CUSTOMER_KEYS)
        assert [each.payload for each in found] == [b"1", b"2"]

        await site.bus.api("STREAM.PURGE.KV_CUSTOMER_KEYS")
        await site.bus.api("STREAM.DELETE.KV_CUSTOMER_KEYS")
        await provision(site.bus, region="local", specialties=[], replicas=1)
        empty = await back_up_keys(site.settings, site.store)
        assert empty.stream.state["last_seq"] == 0
        chosen = await with_newest_keys(site.store, await site.store.manifest())
        assert [each for each in chosen.streams if each.config["name"] == "KV_CUSTOMER_KEYS"] == [taken.stream]


async def test_backup_is_found_by_a_moment(tmp_path: Path) -> None:
    """The last one that was complete by then."""
    store = BackupStore(str(tmp_path / "store"))
    for id_, begun_at in (("20260101T000000Z", 100.0), ("20260102T000000Z", 200.0)):
        manifest = SuiteManifest(
            id=id_, begun_at=begun_at, finished_at=begun_at + 10, region="local", version="0.2.0", streams=[]
        )
        await store.put_manifest(manifest)
    assert (await store.last_before(209.0)).id == "20260101T000000Z"
    assert (await store.last_before(210.0)).id == "20260102T000000Z"
    with pytest.raises(CommandError, match="no backup that was complete at that moment"):
        await store.last_before(109.0)

"""Heads in stream HEADS: published without holding up recording, and compared with those of the database."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.head_stream import JetStreamHeads, PostgresHeads
from trunkline_audit.adapters.postgres import PostgresArchive, PostgresWriter
from trunkline_audit.application.head_publisher import HeadPublisher
from trunkline_audit.core.heads import TreeHead, head_of, last_of_each_second, message_of
from trunkline_audit.core.records import row_of
from trunkline_audit.ports import HeadStream
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_cli.app import app
from trunkline_cli.audit import archive as auditor, stream_heads
from trunkline_cli.audit.stream_heads import HeadStreamSettings
from trunkline_protocols import codec, streams, subjects
from typer.testing import CliRunner, Result

from tests.audit.harness import ArchiveReader, MessageProducer, wait_until, wait_until_acknowledged
from tests.audit.process import audit_processes
from tests.audit.test_tampering import CHANGES, messages

pytestmark = pytest.mark.processes

START: Final = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
TICKS: Final = itertools.count(step=2)
SIGNER: Final = HeadSigner("local", "s" * 32, now=lambda: START + timedelta(seconds=next(TICKS)))
"""Each head has a second of its own."""


class Records:
    """A writer of records, with the publisher of its heads."""

    def __init__(self, writer: PostgresWriter, publisher: HeadPublisher, count: int) -> None:
        self._writer = writer
        self.publisher = publisher
        self.count = count

    async def add(self, count: int, *, received_at: datetime = START) -> None:
        """Store records and sign the head."""
        found = messages("CONVERSATIONS", self.count + 1, count)
        self.count += count
        await self._writer.position("CONVERSATIONS")
        assert await self._writer.write([row_of(message, received_at) for message in found]) == count
        await self._writer.sign_head()

    async def add_some(self, *counts: int) -> None:
        """Store records in batches, each with a published head."""
        for count in counts:
            await self.add(count)
            await self.publisher.flush(30)


@asynccontextmanager
async def recording(
    bus: Bus,
    archive: ArchiveReader,
    make: Callable[[Bus, str], HeadStream] = JetStreamHeads,
    *,
    flush_s: float = 30.0,
) -> AsyncIterator[Records]:
    """Open the archive, and publish its heads until the block ends, the last one included."""
    source = PostgresHeads(archive.dsn)
    publisher = HeadPublisher(make(bus, "local"), source, jitter=lambda: 0.0, every_s=0.01)
    writing = PostgresArchive(archive.dsn, name="test", heads=SIGNER, on_head=publisher.offer)
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(publisher.run())
            try:
                async with writing.open() as writer:
                    [(count,)] = await archive.fetch("SELECT count(*) FROM messages")
                    yield Records(writer, publisher, count)
                await publisher.flush(flush_s)
            finally:
                task.cancel()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None  # the failure of the test itself, which pytest displays better


@pytest.fixture
async def empty(bus: Bus) -> Bus:
    """Return a connection to a server whose stream HEADS is empty."""
    await bus.api("STREAM.PURGE.HEADS")
    return bus


async def published(bus: Bus) -> list[int]:
    """Return the sizes of the heads in the stream, in order."""
    found = await bus.read_messages(streams.HEADS.name, subjects.head("local"))
    return [codec.head.decode(message.payload).size for message in found]


async def test_only_the_stored_head_of_concurrent_callers_is_offered(archive: ArchiveReader) -> None:
    """Every feed signs after a thousand records, beside the clock: each size has one head, the one in the database."""
    offered: list[TreeHead] = []
    writing = PostgresArchive(archive.dsn, name="test", heads=SIGNER, head_every_s=3600, on_head=offered.append)
    async with writing.open() as writer:
        await writer.position("CONVERSATIONS")
        await writer.write([row_of(message, START) for message in messages("CONVERSATIONS", 1, 5)])
        await asyncio.gather(*(writer.sign_head() for _ in range(4)))
    [stored] = await archive.fetch("SELECT log, size, root, at, key, signature FROM tree_heads")
    assert offered == [TreeHead(**dict(stored))]


async def check(nats_url: str, archive: ArchiveReader, tmp_path: Path) -> list[str]:
    """Return the faults that an auditor finds, who has no witness."""
    in_stream = await stream_heads.read_heads(HeadStreamSettings(nats_url=nats_url), tmp_path)
    return (await auditor.verify(archive.dsn, None, SIGNER.public_key.hex(), in_stream)).faults


async def test_heads_are_published_once_and_none_without_new_records(empty: Bus, archive: ArchiveReader) -> None:
    """Also after a restart: the next writer knows the last head of the stream."""
    async with recording(empty, archive) as records:
        await records.add_some(5, 7)
    assert await published(empty) == [5, 12]
    async with recording(empty, archive) as records:
        assert await published(empty) == [5, 12]
        await records.add_some(3)
    assert await published(empty) == [5, 12, 15]
    [stored] = await archive.fetch("SELECT log, size, root, at, key, signature FROM tree_heads WHERE size = 15")
    assert await JetStreamHeads(empty, "local").last() == TreeHead(**dict(stored))


class Gate(JetStreamHeads):
    """A stream that cannot be reached until the gate is opened."""

    is_open = False
    refused = 0

    async def last(self) -> TreeHead | None:
        self._check()
        return await super().last()

    async def publish(self, head: TreeHead) -> None:
        self._check()
        await super().publish(head)

    def _check(self) -> None:
        if not Gate.is_open:
            Gate.refused += 1
            raise BusUnavailableError("closed")


async def test_recording_does_not_wait_for_the_stream_which_gets_the_missing_heads_later(
    empty: Bus, archive: ArchiveReader
) -> None:
    """In the order of their times, from the database: only the newest one waits in memory."""
    async with recording(empty, archive) as records:
        await records.add_some(5)
    Gate.is_open, Gate.refused = False, 0
    async with recording(empty, archive, Gate) as records:
        for _ in range(20):
            await records.add(3)

        async def has_tried() -> bool:
            return Gate.refused >= 2

        await wait_until(has_tried)
        assert await published(empty) == [5]
        Gate.is_open = True
        await records.publisher.flush(30)
        assert await published(empty) == [5, *range(8, 66, 3)]
        await records.add_some(1)
    assert await published(empty) == [5, *range(8, 66, 3), 66]


async def test_stream_that_is_missing_gets_the_newest_head_once_it_exists(bus: Bus, archive: ArchiveReader) -> None:
    """Audit may be of a later version than the services that create it. One head vouches for all records before it."""
    config = (await bus.api("STREAM.INFO.HEADS"))["config"]
    await bus.api("STREAM.DELETE.HEADS")
    try:
        async with recording(bus, archive) as records:
            await records.add(5)
            await records.add(6)
            await bus.api("STREAM.CREATE.HEADS", config)
            await records.publisher.flush(30)
    finally:
        await provision_heads(bus, config)
    assert await published(bus) == [11]


async def provision_heads(bus: Bus, config: dict[str, object]) -> None:
    """Create the stream, if the test failed before it did."""
    if "HEADS" not in (await bus.api("STREAM.NAMES"))["streams"]:
        await bus.api("STREAM.CREATE.HEADS", config)


async def test_last_message_that_cannot_be_decoded_ends_nothing(empty: Bus, archive: ArchiveReader) -> None:
    """The newest head is published behind it."""
    for payload in (b"{", b'{"type":"head.signed","log":"local","size":1,"root":"x","at":1}'):
        await empty.append(subjects.head("local"), payload, message_id=str(payload))
        async with recording(empty, archive) as records:
            await records.add(5)
        last = await JetStreamHeads(empty, "local").last()
        assert last is not None
        assert last.size == records.count


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_change_is_found_by_the_stream_alone(
    empty: Bus, nats_url: str, archive: ArchiveReader, tmp_path: Path, change: str
) -> None:
    """Without a witness: the last of the records are removed with their heads, or another row is changed."""
    async with recording(empty, archive) as records:
        await records.add_some(70, 60, 50)
    assert await check(nats_url, archive, tmp_path) == []
    await archive.execute(change.format(leaf=130, other=140))
    assert await check(nats_url, archive, tmp_path) != []


async def test_truncated_archive_is_found_although_it_is_consistent_and_grows_again(
    empty: Bus, nats_url: str, archive: ArchiveReader, tmp_path: Path
) -> None:
    """PostgreSQL's owner removes the newest records and their heads; audit then goes on, and signs other heads."""
    async with recording(empty, archive) as records:
        await records.add_some(70, 60, 50)
    await archive.execute(CHANGES["truncated"].format(leaf=130))
    assert (await auditor.verify(archive.dsn, None, SIGNER.public_key.hex())).faults == [], (
        "no fault without the stream"
    )
    assert await check(nats_url, archive, tmp_path) == [
        "records 130 to 179 are missing: a head of 180 records exists",
        "1 heads of stream HEADS are not in the database, the first one of 180 records",
    ]
    async with recording(empty, archive) as records:
        for _ in range(2):
            await records.add(50, received_at=START + timedelta(seconds=1))
            await records.publisher.flush(30)
    assert await published(empty) == [70, 130, 180, 180, 230]
    assert (await auditor.verify(archive.dsn, None, SIGNER.public_key.hex())).faults == []
    faults = await check(nats_url, archive, tmp_path)
    assert faults[0] == "head in NATS of 180 records: two roots exist"
    assert faults[-1] == "1 heads of stream HEADS are not in the database, the first one of 180 records"


def test_head_survives_its_message() -> None:
    """With and without a signature; other bytes are refused."""
    for key, signature in (("", b""), ("k", b"s")):
        head = TreeHead("local", 7, b"r", START, key, signature)
        assert head_of(codec.head.decode(codec.encode(message_of(head)))) == head
    for fields in ({"root": "x"}, {"signature": "1"}, {"at": 10**18}, {"at": -(10**18)}):
        broken = {"type": "head.signed", "log": "local", "size": 7, "root": "00", "at": 1} | fields
        with pytest.raises(ValueError, match=r"hex|time"):
            head_of(codec.head.decode(json.dumps(broken)))


def test_one_head_of_each_second_is_enough() -> None:
    """The last one, in order."""
    heads = [TreeHead("local", size, b"", START + timedelta(seconds=size / 4)) for size in range(9)]
    assert [head.size for head in last_of_each_second(heads)] == [1, 5, 8]


async def test_process_publishes_its_last_head_before_it_stops_and_the_command_finds_a_truncation(
    empty: Bus, nats_url: str, archive: ArchiveReader, tmp_path: Path
) -> None:
    """`trunkline audit verify` compares, and says so if it cannot; `audit heads --stream` needs no PostgreSQL."""

    async def command(*arguments: str, **environment: str) -> Result:
        given = ["audit", *arguments, "--data-dir", str(tmp_path)]
        return await asyncio.to_thread(CliRunner().invoke, app, given, env=environment)

    with_nats = {"TRUNKLINE_NATS_URL": nats_url}
    producer = MessageProducer(empty)
    async with audit_processes(nats_url, archive, tmp_path / "audit.log") as start:
        process = start(AUDIT_SECRET="s" * 32)
        await process.wait_for_status("/readyz", 200)
        await producer.publish_turns(5)
        await wait_until_acknowledged(empty)
        before = await wait_for_head(archive)
        assert await process.metric("trunkline_audit_heads_total") > 0
        await producer.publish_turns(5)
        await wait_until_acknowledged(empty)
        assert process.end(signal.SIGTERM) == 0
    sizes = [each["size"] for each in await archive.fetch("SELECT size FROM tree_heads ORDER BY size")]
    assert (await published(empty))[-1] == sizes[-1]
    done = await command("heads", "--stream", **with_nats)
    assert [json.loads(line)["size"] for line in done.stdout.splitlines()] == await published(empty)

    options = ("verify", "--postgres", archive.dsn)
    done = await command(*options, **with_nats)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{len(await published(empty))} of the heads are in stream HEADS"
    await archive.execute(CHANGES["truncated"].format(leaf=before))
    done = await command(*options, **with_nats)
    assert done.exit_code == 1
    signed = next(size for size in sizes if size > before)
    assert done.stdout.startswith(f"records {before} to {signed - 1} are missing: a head of {signed} records")
    done = await command(*options)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "stream HEADS is not compared: name its server with TRUNKLINE_NATS_URL"
    done = await command(*options, TRUNKLINE_NATS_URL="nats://127.0.0.1:1")
    assert done.exit_code == 0
    assert done.stdout.startswith("stream HEADS is not compared: NATS: no NATS server at nats://127.0.0.1:1")


async def wait_for_head(archive: ArchiveReader) -> int:
    """Wait until a head covers all records, and return their number."""
    query = "SELECT (SELECT count(*) FROM messages), (SELECT coalesce(max(size), 0) FROM tree_heads)"
    sizes = [0, 1]

    async def is_signed() -> bool:
        sizes[:] = (await archive.fetch(query))[0]
        return sizes[0] == sizes[1]

    await wait_until(is_signed)
    return sizes[0]

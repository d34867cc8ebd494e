"""Recording on real servers: everything, once, in order, whatever breaks."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from trunkline_audit.adapters.jetstream import JetStreamFeeds
from trunkline_audit.application.recorder import LagMonitor
from trunkline_audit.ports import FeedBrokenError
from trunkline_chassis.bus import Bus
from trunkline_protocols import streams, subjects

from tests.audit.archive import (
    STREAMS,
    ArchiveReader,
    Speaker,
    everything_acknowledged,
    everything_recorded,
    recording,
    stored,
    until,
)
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes


async def test_every_message_of_every_stream_is_recorded_once_and_in_order(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """What was there before and what comes while it runs: rows are written in the order of the streams."""
    speaker = Speaker(bus)
    await speaker.speak(60)
    async with recording(nats_url, archive):
        await speaker.ask("last", "one more")
        await everything_recorded(bus, archive)
    for stream in STREAMS:
        rows = await archive.fetch(
            "SELECT xmin::text::bigint FROM messages WHERE stream = $1 ORDER BY sequence", stream
        )
        transactions = [row[0] for row in rows]
        assert len(transactions) >= 60
        assert transactions == sorted(transactions)


async def test_columns_tell_what_a_message_is_about(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """Conversation and turn tie a question, its answer and its dead letter together."""
    speaker = Speaker(bus)
    await speaker.speak(1)
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)
    rows = await archive.fetch(
        "SELECT stream, region, turn, type, raw, sha256 FROM messages WHERE conversation = $1 ORDER BY at",
        speaker.conversation,
    )
    assert [(row["stream"], row["region"], row["type"]) for row in rows] == [
        ("INBOX", "local", "turn.received"),
        ("CONVERSATIONS", "local", "commit"),
        ("DEAD_LETTERS", "local", "dead_letter"),
    ]
    assert rows[0]["turn"] == rows[1]["turn"] is not None
    assert all(row["sha256"] == hashlib.sha256(row["raw"]).digest() for row in rows)


async def test_messages_that_come_again_change_nothing(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """All streams are delivered a second time: the archive stays as it was, and they are acknowledged again."""
    await Speaker(bus).speak(20)
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)
        await everything_acknowledged(bus)
    for stream in STREAMS:
        await bus.api(f"CONSUMER.RESET.{stream}.audit", {"seq": 1})
    before = await archive.fetch("SELECT *, ctid FROM messages ORDER BY ctid")
    async with recording(nats_url, archive):
        await everything_acknowledged(bus)
    assert await archive.fetch("SELECT *, ctid FROM messages ORDER BY ctid") == before


async def test_consumer_that_was_lost_doubles_nothing(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """A consumer made anew knows nothing of what is recorded; the archive does."""
    speaker = Speaker(bus)
    await speaker.speak(10)
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)
    state = await bus.api("CONSUMER.INFO.INBOX.audit")
    await bus.api("CONSUMER.DELETE.INBOX.audit")
    await bus.api("CONSUMER.CREATE.INBOX.audit", {"stream_name": "INBOX", "config": state["config"], "action": ""})
    await speaker.ask("later", "still there?")
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)
        await everything_acknowledged(bus)


async def test_archive_behind_its_acknowledgements_is_filled_again(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """An older backup was restored: what it lacks comes from the streams, though it was acknowledged long ago."""
    await Speaker(bus).speak(20)
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)
        await everything_acknowledged(bus)
    last = await archive.fetch("DELETE FROM messages WHERE stream = 'INBOX' AND sequence > 5 RETURNING sequence")
    assert last
    await archive.fetch("UPDATE positions SET sequence = 5 WHERE stream = 'INBOX'")
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)


async def test_stream_that_was_made_anew_is_recorded_beside_the_old_one(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """It counts from 1 again: its messages are not mistaken for the old ones with the same numbers."""
    speaker = Speaker(bus)
    await speaker.notify("before")
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)
    before = len(await archive.messages())
    old = await bus.api("STREAM.INFO.NOTICES")
    consumer = await bus.api("CONSUMER.INFO.NOTICES.audit")
    await bus.api("STREAM.DELETE.NOTICES")
    await bus.api("STREAM.CREATE.NOTICES", old["config"])
    request = {"stream_name": "NOTICES", "config": consumer["config"], "action": ""}
    await bus.api("CONSUMER.CREATE.NOTICES.audit", request)
    await speaker.notify("after")
    async with recording(nats_url, archive):
        await everything_acknowledged(bus)
    assert len(await archive.messages()) == before + 1


async def test_messages_wait_for_postgres_in_their_streams(
    bus: Bus, nats_url: str, archive: ArchiveReader, postgres: PostgresServer
) -> None:
    """While PostgreSQL is away the lag grows and nothing is lost; when it is back, recording catches up by itself."""
    speaker = Speaker(bus)
    feeds = JetStreamFeeds(bus, [streams.audit_consumer(stream) for stream in streams.AUDITED], batch=1, wait_s=0)
    async with recording(nats_url, archive) as recorder:
        await speaker.speak(5)
        await everything_recorded(bus, archive)
        postgres.stop()
        await speaker.speak(30)
        backlogs = [await feeds.backlog(stream) for stream in STREAMS]
        assert sum(backlog.messages for backlog in backlogs) >= 4 * 30
        assert all(backlog.oldest is not None for backlog in backlogs)
        await postgres.start()
        await everything_recorded(bus, archive)
        await everything_acknowledged(bus)
        assert recorder.ready.is_set()
    assert [(await feeds.backlog(stream)).oldest for stream in STREAMS] == [None] * len(STREAMS)


async def test_killed_postgres_loses_nothing(
    bus: Bus, nats_url: str, archive: ArchiveReader, postgres: PostgresServer
) -> None:
    """What was acknowledged was committed: a server that dies in the middle has it when it is back."""
    speaker = Speaker(bus)
    async with recording(nats_url, archive, batch=5):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speaker.speak(100))

            async def begun() -> bool:
                return bool(await archive.messages())

            await until(begun)
            postgres.kill()
        await postgres.start()
        await everything_recorded(bus, archive)


async def test_any_bytes_are_kept(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """The bytes are kept as they are; jsonb holds what it can, and one payload never costs another one its place."""
    speaker = Speaker(bus)
    payloads = {
        "nul": b'{"type":"a\\u0000b","turn":"\\u0000","text":"x\\u0000y","path":"C:\\\\u0000"}',
        "bytes": b"\x00\xff\xfe not json",
        "empty": b"",
        "surrogate": b'{"type":"t","text":"\\ud800"}',
        "huge": b'{"type":"t","n":1e999999}',
        "deep": b"[" * 20_000 + b"]" * 20_000,
        "number": b'{"type":"t","n":12345678901234567890.123456789}',
        "scalar": b"7",
        "event": b'{"type":"commit","events":{"event":"turn_answered"}}',
    }
    subject = subjects.inbox("local", speaker.conversation)
    places = {await speaker.put(subject, payload, name): name for name, payload in payloads.items()}
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)
    rows = await archive.fetch(
        "SELECT sequence, type, payload::text FROM messages WHERE conversation = $1", speaker.conversation
    )
    kept = {places[row["sequence"]]: row for row in rows}
    assert kept["nul"]["type"] == "a\ufffdb"
    assert '"x\ufffdy"' in kept["nul"]["payload"]
    assert r'"C:\\u0000"' in kept["nul"]["payload"]
    assert "12345678901234567890.123456789" in kept["number"]["payload"]
    assert kept["scalar"]["payload"] == "7"
    assert {name for name, row in kept.items() if row["payload"] is None} == {
        "bytes",
        "empty",
        "surrogate",
        "huge",
        "deep",
    }
    assert (
        await archive.fetch("SELECT * FROM conversation_messages WHERE conversation = $1", speaker.conversation) == []
    )


async def test_conversation_reads_in_the_order_of_what_was_said(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """Two questions in a row, then their answers; a question that came twice was said once."""
    speaker = Speaker(bus)
    first = await speaker.ask("m1", "Where is my parcel?")
    second = await speaker.ask("m2", "It is late.\x00")
    await speaker.answer(first, "m1", "On its way.")
    await speaker.answer(second, "m2", "We are sorry.")
    await speaker.ask("m1", "Where is my parcel?", repeat=1)
    async with recording(nats_url, archive):
        await everything_recorded(bus, archive)
    rows = await archive.fetch(
        "SELECT number, role, speaker, text FROM conversation_messages WHERE conversation = $1", speaker.conversation
    )
    assert [tuple(row) for row in rows] == [
        (1, "customer", "ada", "Where is my parcel?"),
        (2, "customer", "ada", "It is late.\ufffd"),
        (3, "agent", "bill", "On its way."),
        (4, "agent", "bill", "We are sorry."),
    ]


async def test_second_process_stands_by_and_takes_over(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """One writes; when it is gone, the other goes on where it was."""
    speaker = Speaker(bus)
    async with recording(nats_url, archive) as first:
        await first.ready.wait()
        async with recording(nats_url, archive) as second:
            await second.ready.wait()
            await speaker.speak(5)
            await everything_recorded(bus, archive)
            await first.drain(5)
            await speaker.speak(5)
            await everything_recorded(bus, archive)


async def test_drained_recorder_records_what_was_delivered(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """Stopping in order leaves nothing delivered and unacknowledged."""
    async with recording(nats_url, archive) as recorder:
        await Speaker(bus).speak(5)
        await everything_recorded(bus, archive)
        await recorder.drain(5)
        await everything_acknowledged(bus)


async def test_delivery_that_was_lost_breaks_the_feed(bus: Bus) -> None:
    """A message that went elsewhere is missed by its number: the feed says so instead of going on without it."""
    await Speaker(bus).speak(3)
    feeds = JetStreamFeeds(bus, [streams.audit_consumer(streams.INBOX)], batch=10, wait_s=0)
    async with feeds.open("INBOX", position=0) as feed:
        elsewhere = bus.client.new_inbox()
        thief = await bus.client.subscribe(elsewhere)
        await bus.client.publish("$JS.API.CONSUMER.MSG.NEXT.INBOX.audit", b'{"batch":1}', reply=elsewhere)
        await thief.next_msg(timeout=5)
        with pytest.raises(FeedBrokenError):
            await feed.take()


async def test_watch_counts_what_is_not_recorded(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """The backlog is the streams' own account of it, also while nobody records."""
    await Speaker(bus).speak(3)
    feeds = JetStreamFeeds(bus, [streams.audit_consumer(stream) for stream in streams.AUDITED], batch=1, wait_s=0)
    oldest = (await feeds.backlog("INBOX")).oldest
    assert oldest is not None
    watch = LagMonitor(feeds, now=lambda: oldest)

    async def behind() -> bool:
        return watch.pending >= 12

    async def caught_up() -> bool:
        return watch.pending == 0

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch.run())
        await until(behind)
        async with recording(nats_url, archive):
            await until(caught_up)
        task.cancel()
    assert len(await archive.messages()) == len(await stored(bus))

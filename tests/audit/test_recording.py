"""Recording on real servers: every message, once, in order, with all kinds of failures."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from trunkline_audit.adapters.jetstream import JetStreamFeeds
from trunkline_audit.application.lag_monitor import LagMonitor
from trunkline_audit.application.recorder import Recorder
from trunkline_audit.ports import FeedBrokenError
from trunkline_chassis.bus import Bus
from trunkline_protocols import streams, subjects

from tests.audit.harness import (
    STREAMS,
    ArchiveReader,
    MessageProducer,
    recording,
    stored_messages,
    wait_until,
    wait_until_acknowledged,
    wait_until_recorded,
)
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes


async def test_every_message_of_every_stream_is_recorded_once_and_in_order(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """Messages from before the start and during the run: rows are written in the order of the streams."""
    producer = MessageProducer(bus)
    await producer.publish_turns(60)
    async with recording(nats_url, archive):
        await producer.publish_question("last", "one more")
        await wait_until_recorded(bus, archive)
    for stream in STREAMS:
        rows = await archive.fetch(
            "SELECT xmin::text::bigint FROM messages WHERE stream = $1 ORDER BY sequence", stream
        )
        transactions = [row[0] for row in rows]
        assert len(transactions) >= 60
        assert transactions == sorted(transactions)


async def test_columns_identify_conversation_and_turn(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """They connect a question, its answer and its dead letter."""
    producer = MessageProducer(bus)
    await producer.publish_turns(1)
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
    rows = await archive.fetch(
        "SELECT stream, region, turn, type, raw, sha256 FROM messages WHERE conversation = $1 ORDER BY at",
        producer.conversation,
    )
    assert [(row["stream"], row["region"], row["type"]) for row in rows] == [
        ("INBOX", "local", "turn.received"),
        ("CONVERSATIONS", "local", "commit"),
        ("DEAD_LETTERS", "local", "dead_letter"),
        ("VIEWS", "local", "conversation.viewed"),
    ]
    assert rows[0]["turn"] == rows[1]["turn"] is not None
    assert all(row["sha256"] == hashlib.sha256(row["raw"]).digest() for row in rows)


async def test_redelivered_messages_change_nothing(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """All streams are delivered a second time: the archive is unchanged, and they are acknowledged again."""
    await MessageProducer(bus).publish_turns(20)
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
        await wait_until_acknowledged(bus)
    for stream in STREAMS:
        await bus.api(f"CONSUMER.RESET.{stream}.audit", {"seq": 1})
    before = await archive.fetch("SELECT *, ctid FROM messages ORDER BY ctid")
    async with recording(nats_url, archive):
        await wait_until_acknowledged(bus)
    assert await archive.fetch("SELECT *, ctid FROM messages ORDER BY ctid") == before


async def test_lost_consumer_duplicates_nothing(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """A re-created consumer delivers everything again; the archive knows its position."""
    producer = MessageProducer(bus)
    await producer.publish_turns(10)
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
    state = await bus.api("CONSUMER.INFO.INBOX.audit")
    await bus.api("CONSUMER.DELETE.INBOX.audit")
    await bus.api("CONSUMER.CREATE.INBOX.audit", {"stream_name": "INBOX", "config": state["config"], "action": ""})
    await producer.publish_question("later", "still there?")
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
        await wait_until_acknowledged(bus)


async def test_consumer_of_an_earlier_version_is_acknowledged_one_by_one(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """Its policy cannot be changed: an acknowledgement counts for its own message only."""
    config = (await bus.api("CONSUMER.INFO.INBOX.audit"))["config"] | {"ack_policy": "explicit"}
    await bus.api("CONSUMER.DELETE.INBOX.audit")
    await bus.api("CONSUMER.CREATE.INBOX.audit", {"stream_name": "INBOX", "config": config, "action": "create"})
    await MessageProducer(bus).publish_turns(10)
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
        await wait_until_acknowledged(bus)


async def test_backlog_is_read_without_pauses(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """A feed pauses to collect a batch; full batches follow one another at once."""
    await MessageProducer(bus).publish_turns(40)
    async with asyncio.timeout(40), recording(nats_url, archive, batch=4, wait_s=6.0):
        await wait_until_recorded(bus, archive)


async def test_archive_behind_the_acknowledgements_is_completed(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """An older backup was restored: missing messages are read from the streams, although they were acknowledged."""
    await MessageProducer(bus).publish_turns(20)
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
        await wait_until_acknowledged(bus)
    last = await archive.fetch("DELETE FROM messages WHERE stream = 'INBOX' AND sequence > 5 RETURNING sequence")
    assert last
    await archive.fetch("UPDATE positions SET sequence = 5 WHERE stream = 'INBOX'")
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)


async def test_recreated_stream_is_recorded_in_addition_to_the_old_one(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """It numbers from 1 again: its messages are distinguished from the old ones with the same sequence."""
    producer = MessageProducer(bus)
    await producer.publish_notice("before")
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
    before = len(await archive.messages())
    old = await bus.api("STREAM.INFO.NOTICES")
    consumer = await bus.api("CONSUMER.INFO.NOTICES.audit")
    await bus.api("STREAM.DELETE.NOTICES")
    await bus.api("STREAM.CREATE.NOTICES", old["config"])
    request = {"stream_name": "NOTICES", "config": consumer["config"], "action": ""}
    await bus.api("CONSUMER.CREATE.NOTICES.audit", request)
    await producer.publish_notice("after")
    async with recording(nats_url, archive):
        await wait_until_acknowledged(bus)
    assert len(await archive.messages()) == before + 1


async def test_streams_hold_the_backlog_while_postgres_is_down(
    bus: Bus, nats_url: str, archive: ArchiveReader, postgres: PostgresServer
) -> None:
    """The lag grows and no message is lost; when PostgreSQL is up again, recording catches up."""
    producer = MessageProducer(bus)
    feeds = JetStreamFeeds(bus, [streams.audit_consumer(stream) for stream in streams.AUDITED], batch=1, wait_s=0)
    async with recording(nats_url, archive) as recorder:
        await producer.publish_turns(5)
        await wait_until_recorded(bus, archive)
        postgres.stop()
        await producer.publish_turns(30)
        backlogs = [await feeds.backlog(stream) for stream in STREAMS]
        assert sum(backlog.messages for backlog in backlogs) >= 4 * 30
        assert all(backlog.oldest is not None for backlog in backlogs)
        await postgres.start()
        await wait_until_recorded(bus, archive)
        await wait_until_acknowledged(bus)
        assert recorder.state == "recording"
    assert [(await feeds.backlog(stream)).oldest for stream in STREAMS] == [None] * len(STREAMS)


async def test_killed_postgres_loses_nothing(
    bus: Bus, nats_url: str, archive: ArchiveReader, postgres: PostgresServer
) -> None:
    """Acknowledged messages are committed: a server that is killed during a write has them after its restart."""
    producer = MessageProducer(bus)
    async with recording(nats_url, archive, batch=5):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(producer.publish_turns(100))

            async def started() -> bool:
                return bool(await archive.messages())

            await wait_until(started)
            postgres.kill()
        await postgres.start()
        await wait_until_recorded(bus, archive)


async def test_any_bytes_are_archived(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """The bytes are unchanged, jsonb is filled if possible, and one payload never prevents the archival of another."""
    producer = MessageProducer(bus)
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
    subject = subjects.inbox("local", producer.conversation)
    names = {await producer.append(subject, payload, name): name for name, payload in payloads.items()}
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
    rows = await archive.fetch(
        "SELECT sequence, type, payload::text FROM messages WHERE conversation = $1", producer.conversation
    )
    archived = {names[row["sequence"]]: row for row in rows}
    assert archived["nul"]["type"] == "a\ufffdb"
    assert '"x\ufffdy"' in archived["nul"]["payload"]
    assert r'"C:\\u0000"' in archived["nul"]["payload"]
    assert "12345678901234567890.123456789" in archived["number"]["payload"]
    assert archived["scalar"]["payload"] == "7"
    assert {name for name, row in archived.items() if row["payload"] is None} == {
        "bytes",
        "empty",
        "surrogate",
        "huge",
        "deep",
    }
    assert (
        await archive.fetch("SELECT * FROM conversation_messages WHERE conversation = $1", producer.conversation) == []
    )


async def test_view_lists_a_conversation_in_order(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """Two questions in a row, then their answers; a repeated question is listed once."""
    producer = MessageProducer(bus)
    first = await producer.publish_question("m1", "Where is my parcel?")
    second = await producer.publish_question("m2", "It is late.\x00")
    await producer.publish_answer(first, "m1", "On its way.")
    await producer.publish_answer(second, "m2", "We are sorry.")
    await producer.publish_question("m1", "Where is my parcel?", repeat=1)
    async with recording(nats_url, archive):
        await wait_until_recorded(bus, archive)
    rows = await archive.fetch(
        "SELECT number, role, speaker, text FROM conversation_messages WHERE conversation = $1", producer.conversation
    )
    assert [tuple(row) for row in rows] == [
        (1, "customer", "ada", "Where is my parcel?"),
        (2, "customer", "ada", "It is late.\ufffd"),
        (3, "agent", "bill", "On its way."),
        (4, "agent", "bill", "We are sorry."),
    ]


async def in_state(recorder: Recorder, state: str) -> None:
    """Wait until a recorder is in a state."""

    async def is_in_state() -> bool:
        return recorder.state == state

    await wait_until(is_in_state)


async def test_second_process_is_on_standby_and_takes_over(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """One writes; after its end, the other continues at its position."""
    producer = MessageProducer(bus)
    async with recording(nats_url, archive) as first:
        await in_state(first, "recording")
        async with recording(nats_url, archive) as second:
            await in_state(second, "standby")
            await producer.publish_turns(5)
            await wait_until_recorded(bus, archive)
            await first.drain(5)
            await producer.publish_turns(5)
            await wait_until_recorded(bus, archive)


async def test_drained_recorder_records_all_delivered_messages(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """A graceful stop leaves no delivered message unacknowledged."""
    async with recording(nats_url, archive) as recorder:
        await MessageProducer(bus).publish_turns(5)
        await wait_until_recorded(bus, archive)
        await recorder.drain(5)
        await wait_until_acknowledged(bus)


async def test_lost_delivery_breaks_the_feed(bus: Bus) -> None:
    """The gap in the delivery numbers is detected: the feed raises instead of continuing without the message."""
    await MessageProducer(bus).publish_turns(3)
    feeds = JetStreamFeeds(bus, [streams.audit_consumer(streams.INBOX)], batch=10, wait_s=0)
    async with feeds.open("INBOX", position=0) as feed:
        other_inbox = bus.client.new_inbox()
        other_consumer = await bus.client.subscribe(other_inbox)
        await bus.client.publish("$JS.API.CONSUMER.MSG.NEXT.INBOX.audit", b'{"batch":1}', reply=other_inbox)
        await other_consumer.next_msg(timeout=5)
        with pytest.raises(FeedBrokenError):
            await feed.receive()


async def test_lag_monitor_counts_unrecorded_messages(bus: Bus, nats_url: str, archive: ArchiveReader) -> None:
    """The backlog is measured on the streams, even while no recorder runs."""
    await MessageProducer(bus).publish_turns(3)
    feeds = JetStreamFeeds(bus, [streams.audit_consumer(stream) for stream in streams.AUDITED], batch=1, wait_s=0)
    oldest = (await feeds.backlog("INBOX")).oldest
    assert oldest is not None
    lag = LagMonitor(feeds, now=lambda: oldest)

    async def has_backlog() -> bool:
        return lag.pending >= 12

    async def caught_up() -> bool:
        return lag.pending == 0

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(lag.run())
        await wait_until(has_backlog)
        async with recording(nats_url, archive):
            await wait_until(caught_up)
        task.cancel()
    assert len(await archive.messages()) == len(await stored_messages(bus))

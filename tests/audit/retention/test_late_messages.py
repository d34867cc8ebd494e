"""Messages that no consumer has acknowledged, that no record has, and that arrive after the archive."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from trunkline_audit.adapters.archive_reader import ArchivedConversations
from trunkline_audit.adapters.stream_trimmer import JetStreamTrimmer
from trunkline_audit.core.retention.policy import RetentionPolicy, RetentionRule
from trunkline_audit.core.retention.trimming import StoredKey
from trunkline_chassis.bus import Bus
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_cli.audit import archive as auditor
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.archives import ReadArchived
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.topology import slot_consumers
from trunkline_protocols.views import ConversationViewed

from tests.audit.harness import ArchiveReader, MessageProducer
from tests.audit.retention.harness import REGION, ClientRecord, SmallSuite, open_suite

pytestmark = pytest.mark.processes


@pytest.fixture
async def suite(
    bus: Bus,  # noqa: ARG001 - provisioned
    nats_url: str,
    archive: ArchiveReader,
    tmp_path: Path,
) -> AsyncIterator[SmallSuite]:
    """A suite of streams, recorder and retention."""
    async with open_suite(nats_url, archive, tmp_path) as opened:
        yield opened


async def later(suite: SmallSuite, days: float = 30) -> None:
    """Let time pass once everything is recorded."""
    await suite.settle()
    suite.clock.days += days


async def test_message_that_its_slot_has_not_acknowledged_stays(suite: SmallSuite) -> None:
    """With the whole conversation, until a conversation process has handled it."""
    record = await suite.traffic.converse()
    await later(suite)
    # A consumer that is created again has acknowledged nothing.
    for consumer in slot_consumers(REGION):
        await suite.bus.api(f"CONSUMER.DELETE.{consumer.stream}.{consumer.name}")
    report = await suite.retention().run()
    assert (report.waiting, report.trimmed) == (1, 0)
    assert len(await suite.stream("INBOX", record)) == len(record.questions) + 1
    assert await suite.texts(record) == 2 * len(record.questions) + 2


async def test_message_without_a_record_ends_the_purge_of_its_subject(suite: SmallSuite) -> None:
    """PostgreSQL refused it: its stream alone has it."""
    record = await suite.traffic.converse()
    await later(suite)
    messages = await suite.bus.read_messages("INBOX", subjects.inbox(REGION, record.conversation))
    stored = [StoredKey("INBOX", each.seq, hashlib.sha256(each.payload).digest()) for each in messages]
    trimmer = JetStreamTrimmer(suite.bus, REGION)
    assert await trimmer.trim(REGION, record.conversation, frozenset([stored[0], *stored[2:]])) == "waiting"
    assert await suite.stream("INBOX", record) == [each.seq for each in messages[1:]]
    assert await trimmer.trim(REGION, record.conversation, frozenset(stored)) == "trimmed"
    assert await suite.stream("INBOX", record) == []


async def test_late_message_of_an_archived_conversation_is_archived_by_a_later_run(suite: SmallSuite) -> None:
    """Of the customer, by a socket that was still open; the conversation stays closed."""
    record = await suite.traffic.converse()
    await later(suite)
    await suite.retention().run()
    await rate(suite, record)
    await later(suite, 6)
    assert (await suite.retention().run()).archived == 0, "its age counts from the rating"
    await later(suite)
    assert (await suite.retention().run()).archived == 1
    assert await suite.stream("INBOX", record) == []
    assert await suite.texts(record) == 0
    source = ArchivedConversations(suite.archive.dsn, ObstoreObjectStore)
    found = await source.read(ReadArchived(conversation=record.conversation))
    assert Counter(entry.stream for entry in found.records) == {"INBOX": 4, "CONVERSATIONS": 3}
    assert codec.inbox.decode(found.records[-1].payload) == rating(record)
    assert len(found.archives) == 2
    assert not found.has_more


def rating(record: ClientRecord) -> FeedbackGiven:
    """Return the customer's rating."""
    return FeedbackGiven(conversation=record.conversation, previous=0, rating=5, received_at=1.0, text="thanks")


async def rate(suite: SmallSuite, record: ClientRecord) -> None:
    """Store a rating behind the end of the inbox, which is empty."""
    subject = subjects.inbox(REGION, record.conversation)
    await suite.bus.append(subject, codec.encode(rating(record)), message_id="rating", fence=(subject, 0))


async def test_single_records_go_by_their_own_age(suite: SmallSuite, archive: ArchiveReader) -> None:
    """Views, dead letters and notices; a rule of one kind leaves the others alone."""
    producer = MessageProducer(suite.bus)
    await producer.publish_dead_letter(1)
    await producer.publish_notice("maintenance")
    viewed = ConversationViewed(conversation=producer.conversation, view="desk", operator="Ada", role="lead", at=4.5)
    await suite.bus.append(subjects.view(REGION, producer.conversation), codec.encode(viewed), message_id="view")
    await later(suite)
    policy = RetentionPolicy(
        (
            RetentionRule("letters", timedelta(days=90), kinds=frozenset({"dead_letter"})),
            RetentionRule("others", timedelta(days=7)),
        )
    )
    assert (await suite.retention(policy).run()).trimmed_by_kind == {"notice": 1, "view": 1}
    left = await archive.fetch("SELECT stream FROM messages WHERE raw IS NOT NULL")
    assert [each[0] for each in left] == [streams.DEAD_LETTERS.name]
    await later(suite, 90)
    assert (await suite.retention(policy).run()).trimmed_by_kind == {"dead_letter": 1}


async def test_plan_changes_nothing(suite: SmallSuite, archive: ArchiveReader) -> None:
    """Neither in the database nor in the store, and it is what a run then does."""
    record = await suite.traffic.converse()
    await later(suite)
    plan = await suite.retention().plan()
    assert plan.records("archived") == 2 * len(record.questions) + 2
    assert suite.files("*") == []
    assert await archive.fetch("SELECT * FROM archive_runs") == []
    assert (await suite.retention().run()).archived == plan.records("archived")


async def test_lost_or_changed_archive_is_found(suite: SmallSuite, archive: ArchiveReader) -> None:
    """By verification of the database: an object that is gone, one that differs, and a row without its bytes."""
    await suite.traffic.converse()
    await later(suite)
    await suite.retention().run()
    key = suite.signer.public_key.hex()
    assert (await auditor.verify(archive.dsn, None, key)).faults == []
    [packed] = suite.files("*.zst")
    packed.chmod(0o600)
    packed.write_bytes(packed.read_bytes()[:-1] + b"x")
    [fault] = (await auditor.verify(archive.dsn, None, key)).faults[:1]
    assert "is not the one of the manifest" in fault or "cannot be read" in fault
    packed.unlink()
    [fault] = (await auditor.verify(archive.dsn, None, key)).faults
    assert fault.endswith(packed.name)
    [(leaf,)] = await archive.fetch(
        "UPDATE messages SET archived = NULL"
        " WHERE leaf = (SELECT min(leaf) FROM messages WHERE archived IS NOT NULL) RETURNING leaf"
    )
    assert (
        f"record {leaf}: its bytes are neither in the table nor in a verified archive"
        in (await auditor.verify(archive.dsn, None, key)).faults
    )


async def test_unknown_conversation_has_no_archived_records(suite: SmallSuite, archive: ArchiveReader) -> None:
    """Not an error."""
    await later(suite)
    source = ArchivedConversations(archive.dsn, ObstoreObjectStore)
    found = await source.read(ReadArchived(conversation=ConversationId("cnone")))
    assert (found.records, found.archives, found.has_more) == ([], [], False)

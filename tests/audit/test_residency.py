"""Borders of the audit service, on real servers: records, databases and archives of another region."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.home_region import require_home
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.adapters.retention_store import PostgresRetention
from trunkline_audit.adapters.session import connected
from trunkline_audit.core.records import AuditedMessage, foreign_region
from trunkline_audit.handlers import ArchiveHandlers
from trunkline_audit.ports import ArchiveElsewhereError
from trunkline_chassis.bus import connect
from trunkline_chassis.provision import provision
from trunkline_protocols import codec, subjects
from trunkline_protocols.archives import ArchivedRecord, ArchivedRecords, ReadArchived
from trunkline_protocols.dead_letter import DeadLetter
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.inbox import TurnReceived

from tests.audit.harness import UNSIGNED, ArchiveReader, MessageProducer, recording, wait_until
from tests.support.borders import ListedBorders
from tests.support.nats import nats_server

US = HeadSigner("us", "", now=lambda: datetime.now(UTC))
OTHER = ConversationId("cother")


def received(region: str) -> bytes:
    """Return a message of a customer of a region."""
    return codec.encode(
        TurnReceived(
            conversation=OTHER,
            message_id="m1",
            text="hello",
            seq=2,
            previous=0,
            customer="zoe",
            tenant="default",
            region=region,
            channel="web",
            locale="en",
            ingress=Instance("ingress-1"),
            received_at=1.0,
        )
    )


@pytest.mark.parametrize(
    ("subject", "payload", "foreign"),
    [
        (subjects.inbox("local", OTHER), received("local"), None),
        (subjects.inbox("us", OTHER), received("local"), "us"),
        (subjects.inbox("local", OTHER), received("us"), "us"),
        (subjects.view("us", OTHER), b"not JSON", "us"),
        (subjects.notice("us", "all"), b"{}", "us"),
        (subjects.inbox("local", OTHER), b'{"region":7}', None),
        ("unknown", b"{}", None),
        (
            subjects.dead_letter("INBOX", "slot-local-1"),
            codec.encode(
                DeadLetter(
                    stream="INBOX",
                    consumer="slot-local-1",
                    subject=subjects.inbox("us", OTHER),
                    sequence=1,
                    deliveries=1,
                    reason="r",
                    payload="",
                    at=1.0,
                )
            ),
            "us",
        ),
    ],
)
def test_region_of_a_message_is_read_from_subject_and_content(subject: str, payload: bytes, foreign: str) -> None:
    """A dead letter belongs to the region of the message that it holds."""
    message = AuditedMessage("INBOX", 1, datetime.now(UTC), subject, payload)
    assert foreign_region(message, "local") == foreign


@pytest.mark.processes
async def test_messages_of_another_region_do_not_reach_postgresql(tmp_path: Path, archive: ArchiveReader) -> None:
    """They are acknowledged, so that the messages behind them are recorded."""
    borders = ListedBorders()
    async with PostgresArchive(archive.dsn, name="local", heads=UNSIGNED).open():
        pass  # which creates the tables
    with nats_server(tmp_path) as url:
        bus = await connect(url, "test")
        await provision(bus, region="local", specialties=[], replicas=1)
        producer = MessageProducer(bus)
        await bus.append(subjects.inbox("us", OTHER), received("us"), message_id="1")
        await bus.append(subjects.inbox("local", OTHER), received("us"), message_id="2")
        await producer.publish_question("m1", "mine")

        async def is_recorded() -> bool:
            return bool(await archive.fetch("SELECT 1 FROM messages WHERE conversation = $1", producer.conversation))

        async with recording(url, archive, borders=borders):
            await wait_until(is_recorded)
        await bus.close()
    assert borders.refused == [("record", "us", "local")] * 2
    assert await archive.fetch("SELECT 1 FROM messages WHERE conversation = $1", OTHER) == []


@pytest.mark.processes
async def test_database_belongs_to_the_first_region(tmp_path: Path, archive: ArchiveReader) -> None:
    """Recording, and retention, of another region are refused, and the former is recorded."""
    async with PostgresArchive(archive.dsn, name="us", heads=US).open():
        pass
    async with PostgresArchive(archive.dsn, name="us", heads=US).open():
        pass
    with pytest.raises(ArchiveElsewhereError, match="region 'us'"):
        async with PostgresRetention(archive.dsn, holder="test", region="local").open(locked=True):
            pass
    async with connected(archive.dsn) as connection:
        await require_home(connection, "us")
    borders = ListedBorders()
    with nats_server(tmp_path) as url:
        bus = await connect(url, "test")
        await provision(bus, region="local", specialties=[], replicas=1)
        await MessageProducer(bus).publish_question("m1", "mine")

        async def is_refused() -> bool:
            return bool(borders.refused)

        async with recording(url, archive, borders=borders) as recorder:
            await wait_until(is_refused)
            assert recorder.state == "unavailable"
        await bus.close()
    assert set(borders.refused) == {("database", "local", "us")}
    assert await archive.fetch("SELECT 1 FROM messages") == []


@pytest.mark.processes
async def test_database_with_records_of_another_region_is_not_claimed(archive: ArchiveReader) -> None:
    """An earlier version has written them, and no region has claimed it yet."""
    async with PostgresArchive(archive.dsn, name="us", heads=US).open():
        pass
    await archive.execute(
        "DELETE FROM home_region; "
        "INSERT INTO messages (stream, sequence, at, received_at, subject, region, raw, sha256, leaf) "
        "VALUES ('INBOX', 1, now(), now(), 'inbox.eu.1.c1', 'eu', '', '', 0)"
    )
    with pytest.raises(ArchiveElsewhereError, match="region 'eu'"):
        async with PostgresArchive(archive.dsn, name="us", heads=US).open():
            pass
    assert await archive.fetch("SELECT 1 FROM home_region") == []


async def test_archived_records_of_another_region_are_not_shown() -> None:
    """None of a conversation that has one: what is left would look complete."""
    found = [(0, subjects.inbox("local", OTHER)), (1, subjects.inbox("us", OTHER))]
    records = [
        ArchivedRecord(leaf=leaf, stream="INBOX", sequence=leaf, subject=subject, at=time.time(), payload=b"{}")
        for leaf, subject in found
    ]

    class Source:
        async def read(self, request: ReadArchived) -> ArchivedRecords:
            return ArchivedRecords(conversation=request.conversation, records=records)

    borders = ListedBorders()
    handlers = ArchiveHandlers(Source(), None, None, borders)  # type: ignore[arg-type]
    reply = await handlers.read(ReadArchived(conversation=OTHER))
    assert isinstance(reply, ArchivedRecords)
    assert reply.records == []
    assert borders.refused == [("archive", "us", "local")]

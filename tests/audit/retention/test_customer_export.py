"""A customer's conversations are found by the audit trail's index: without it, by the whole log, which is said."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from trunkline_audit.adapters.archive_reader import ArchivedConversations
from trunkline_audit.adapters.conversation_proofs import ConversationProofs
from trunkline_audit.adapters.customer_index import PostgresCustomerIndex
from trunkline_audit.handlers import ArchiveHandlers
from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.rpc import Responder
from trunkline_ingress.adapters.nats.archives import NatsArchive
from trunkline_ingress.adapters.nats.customer_index import NatsCustomerIndex
from trunkline_ingress.adapters.nats.customer_records import NatsCustomerRecords
from trunkline_ingress.application.customer_exporter import CustomerExporter, FoundRecords
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.archives import ListConversations
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import TurnAnswered

from tests.audit.harness import ArchiveReader
from tests.audit.retention.harness import REGION, ClientRecord, SmallSuite, Traffic, open_suite
from tests.support.borders import ListedBorders

pytestmark = pytest.mark.processes


@asynccontextmanager
async def audit_service(bus: Bus, dsn: str) -> AsyncIterator[None]:
    """Reply to the requests of an ingress as the audit service does, from PostgreSQL and the archives."""
    handlers = ArchiveHandlers(
        ArchivedConversations(dsn, ObstoreObjectStore),
        ConversationProofs(dsn),
        PostgresCustomerIndex(dsn, REGION),
        ListedBorders(REGION),
    )
    async with asyncio.TaskGroup() as group:
        responder = Responder(bus, "audit", RecentLatency(), group)
        await responder.serve(subjects.list_conversations(REGION), codec.list_conversations, handlers.list)
        await responder.serve(subjects.read_archive(REGION), codec.read_archived, handlers.read)
        yield
        await responder.close(1.0)


class WatchedBus:
    """The bus of an ingress, which counts the messages that are read from streams under each filter."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.api = bus.api
        self.get_message = bus.get_message
        self.request = bus.request
        self.read: dict[str, int] = {}

    async def read_batches(self, stream: str, filter_: str, after: int = 0) -> AsyncIterator[Sequence[StreamMessage]]:
        async for batch in self._bus.read_batches(stream, filter_, after):
            self.read[filter_] = self.read.get(filter_, 0) + len(batch)
            yield batch


async def export(bus: Bus, customer: str = "ada", *, tenant: str = "default") -> tuple[FoundRecords, dict[str, int]]:
    """Return a customer's records, and the number of messages that were read under each filter."""
    watched = WatchedBus(bus)
    exporter = CustomerExporter(
        NatsCustomerIndex(watched, REGION),  # type: ignore[arg-type]
        NatsCustomerRecords(watched),  # type: ignore[arg-type]
        NatsArchive(watched, REGION),  # type: ignore[arg-type]
        ListedBorders(REGION),
    )
    return await exporter.read(tenant, customer), watched.read


async def rate(suite: SmallSuite, record: ClientRecord, rating: int) -> None:
    """Rate a conversation, before it is closed."""
    feedback = FeedbackGiven(conversation=record.conversation, previous=0, rating=rating, received_at=3.0)
    subject = subjects.inbox(REGION, record.conversation)
    appended = await suite.bus.append(subject, codec.encode(feedback), message_id=secrets.token_hex(8))
    suite.traffic.inbox[record.conversation] = appended.seq


def answers_of(found: FoundRecords) -> dict[str, list[str]]:
    """Return the answers of each conversation."""
    answers: dict[str, list[str]] = {}
    for stored in found.commits:
        texts = [event.answer for event in stored.commit.events if isinstance(event, TurnAnswered)]
        answers.setdefault(stored.commit.conversation, []).extend(texts)
    return answers


def expected(*records: ClientRecord) -> dict[str, list[str]]:
    return {record.conversation: record.answers for record in records}


async def test_export_reads_only_the_customer_s_conversations(
    bus: Bus, nats_url: str, archive: ArchiveReader, tmp_path: Path
) -> None:
    """Archived, open and not yet recorded ones; of the right tenant, and with the ratings that streams have lost."""
    async with open_suite(nats_url, archive, tmp_path) as suite:
        old = await suite.traffic.converse(close=False)
        await rate(suite, old, 2)
        await suite.traffic.close(old)
        others = [await suite.traffic.converse(customer=name) for name in ("ada2", "bob", "Ada")]
        others.append(await suite.traffic.converse(tenant="other"))
        await suite.settle()
        suite.clock.days = 8
        live = await suite.traffic.converse(close=False)
        await rate(suite, live, 4)
        await suite.settle()
        await suite.retention().run()
        assert await suite.texts(old) == 0
    # The recorder has stopped: what follows is in the streams only.
    late = await Traffic(bus).converse(turns=1, close=False)
    async with audit_service(bus, archive.dsn):
        found, read = await export(bus)
        assert answers_of(found) == expected(old, live, late)
        assert (found.source, found.note) == ("index", "")
        assert sorted(rating.rating for rating in found.ratings) == [2, 4]
        names = {record.conversation for record in (old, live, late)}
        assert {name for name in read if not any(known in name for known in names)} <= {subjects.log_any(REGION)}
        assert read[subjects.log_any(REGION)] == 1, "of the whole log, what the index does not have yet"
        assert answers_of((await export(bus, tenant="other"))[0]) == expected(others[-1])
        assert (await export(bus, "nobody"))[0].commits == []
        await archive.execute("INSERT INTO skipped VALUES ('CONVERSATIONS', 1, now(), 'too large')")
        skipped = (await export(bus))[0]
        assert skipped.note.endswith("the audit trail lacks 1 commits that PostgreSQL refused")
        await archive.execute("DELETE FROM skipped; UPDATE positions SET sequence = sequence + 100000")
        assert (await export(bus))[0].note.endswith("the audit trail is that of an earlier stream")
        await archive.execute("UPDATE positions SET sequence = sequence - 100000")
        assert (await export(bus))[0].source == "index"
    found, read = await export(bus)
    assert found.source == "log"
    assert found.note.startswith("The whole log of the region was read; archived conversations and older ratings")
    assert answers_of(found) == expected(live, late) | {old.conversation: []}, "of the archived one, its marker"
    assert read[subjects.log_any(REGION)] > read[subjects.inbox_any(REGION)] > 0


async def test_database_that_is_away_is_said(bus: Bus, nats_url: str, archive: ArchiveReader, tmp_path: Path) -> None:
    """The audit service refuses with the reason, and the log is read."""
    async with open_suite(nats_url, archive, tmp_path) as suite:
        record = await suite.traffic.converse(close=False)
    async with audit_service(bus, "postgresql://x@127.0.0.1:1/x"):
        found, _ = await export(bus)
    assert (answers_of(found), found.source) == (expected(record), "log")
    assert "the audit trail cannot be read: PostgreSQL: " in found.note


async def test_index_lists_commits_that_have_no_customer_as_json(
    archive: ArchiveReader, bus: Bus, nats_url: str, tmp_path: Path
) -> None:
    """The caller reads whose they are; page by page, of one region, for any name."""
    async with open_suite(nats_url, archive, tmp_path) as suite:
        strange = "é\N{REPLACEMENT CHARACTER}" * 150
        records = [await suite.traffic.converse(turns=1, customer=strange) for _ in range(3)]
        unread = await suite.traffic.converse(turns=1, customer="bob")
        await suite.settle()
        await archive.execute(
            f"UPDATE messages SET payload = NULL WHERE conversation = '{unread.conversation}'"  # noqa: S608 - an id
        )
        names = sorted([*(record.conversation for record in records), unread.conversation])
        index = PostgresCustomerIndex(archive.dsn, REGION)
        request = ListConversations(tenant="default", customer=strange)
        listed = await index.list(request)
        assert listed.conversations == names
        (last,) = await bus.read_messages(
            streams.CONVERSATIONS.name, subjects.log_any(REGION), after=listed.recorded - 1
        )
        assert last.seq == listed.recorded
        after = ListConversations(tenant="default", customer=strange, after=names[1])
        assert (await index.list(after)).conversations == names[2:]
        other = PostgresCustomerIndex(archive.dsn, "elsewhere")
        assert (await other.list(request)).conversations == []

"""Harness of the audit tests: a reader of the archive, a producer of messages, a recorder."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.jetstream import JetStreamFeeds
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.application.recorder import Recorder
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.latency import RecentLatency
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.customer_keys import CustomerErased
from trunkline_protocols.dead_letter import DeadLetter
from trunkline_protocols.holds import HoldPlaced
from trunkline_protocols.ids import ConversationId, Instance, conversation_id, turn_id
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit, Started, TurnAnswered
from trunkline_protocols.residency import ResidencyViolated
from trunkline_protocols.views import ConversationViewed

from tests.support.borders import ListedBorders

UNSIGNED = HeadSigner("local", "", now=lambda: datetime.now(UTC))
STREAMS = [stream.name for stream in streams.AUDITED]


class ArchiveReader:
    """Reads an archive, with a new connection for every query."""

    def __init__(self, dsn: str) -> None:
        """Take the address of the database."""
        self.dsn = dsn

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Return the rows of a query."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def execute(self, script: str) -> None:
        """Run statements, separated by semicolons."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    async def messages(self) -> list[tuple[str, int, str, bytes]]:
        """Return the recorded messages; none if there is no schema yet."""
        try:
            rows = await self.fetch("SELECT stream, sequence, subject, raw FROM messages ORDER BY stream, sequence")
        except asyncpg.UndefinedTableError:
            return []
        return [tuple(row) for row in rows]


async def stored_messages(bus: Bus) -> list[tuple[str, int, str, bytes]]:
    """Return the messages of the audited streams, in order."""
    return [
        (stream, message.seq, message.subject, message.payload)
        for stream in sorted(STREAMS)
        for message in await bus.read_messages(stream, "*.>")  # finds the last one behind unused sequences too
    ]


async def wait_until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float = 30.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)  # the condition depends on another process, which sends no event


async def wait_until_recorded(bus: Bus, archive: ArchiveReader) -> None:
    """Wait until the archive has as many messages as the streams, then assert that they are equal, each once."""
    expected = await stored_messages(bus)

    async def complete() -> bool:
        return len(await archive.messages()) >= len(expected)

    await wait_until(complete)
    assert await archive.messages() == expected


async def wait_until_acknowledged(bus: Bus) -> None:
    """Wait until every message of every stream is acknowledged."""

    async def idle() -> bool:
        states = [await bus.api(f"CONSUMER.INFO.{stream}.audit") for stream in STREAMS]
        return all(state["num_pending"] + state["num_ack_pending"] == 0 for state in states)

    await wait_until(idle)


@asynccontextmanager
async def recording(
    nats_url: str,
    archive: ArchiveReader,
    *,
    batch: int = 50,
    wait_s: float = 0.02,
    heads: HeadSigner = UNSIGNED,
    borders: ListedBorders | None = None,
) -> AsyncIterator[Recorder]:
    """Run a recorder on its own connection until the block ends, then cancel it without draining."""
    bus = await connect(nats_url, "audit-test")
    consumers = [streams.audit_consumer(stream) for stream in streams.AUDITED]
    recorder = Recorder(
        JetStreamFeeds(bus, consumers, batch=batch, wait_s=wait_s),
        PostgresArchive(archive.dsn, name=f"audit-{secrets.token_hex(4)}", heads=heads),
        latency=RecentLatency(),
        now=lambda: datetime.now(UTC),
        jitter=random.random,
        borders=borders or ListedBorders(),
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(recorder.run())
            try:
                yield recorder
            finally:
                task.cancel()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None  # the failure of the test itself, which pytest displays better
    finally:
        await bus.close()


class MessageProducer:
    """Appends messages of the four protocols to their streams, as the services do."""

    def __init__(self, bus: Bus) -> None:
        """Create a producer for one new conversation."""
        self._bus = bus
        self._turns = 0
        self.conversation: ConversationId = conversation_id(secrets.token_hex(10))

    async def publish_question(self, message_id: str, text: str, *, repeat: int = 0) -> int:
        """Append a customer's message and return its inbox sequence; another `repeat` evades deduplication."""
        received = TurnReceived(
            conversation=self.conversation,
            message_id=message_id,
            text=text,
            seq=1,
            previous=0,
            customer="ada",
            tenant="default",
            region="local",
            channel="web",
            locale="en",
            ingress=Instance("ingress-1"),
            received_at=1.5,
        )
        return await self.append(
            subjects.inbox("local", self.conversation), codec.encode(received), f"{message_id}-{repeat}"
        )

    async def publish_answer(self, inbox_seq: int, message_id: str, text: str) -> None:
        """Append a commit with an answer."""
        answered = TurnAnswered(
            message_id=message_id,
            accepted_seq=1,
            text="",
            received_at=1.5,
            answer=text,
            specialty="billing",
            agent="bill",
        )
        commit = Commit(
            conversation=self.conversation,
            region="local",
            tenant="default",
            customer="ada",
            kind="turn",
            turn=turn_id(self.conversation, inbox_seq),
            epoch=1,
            owner="billing",
            agent="bill",
            inbox_seq=inbox_seq,
            previous=0,
            frames_before=0,
            at=2.5,
            events=[Started(customer="ada", tenant="default", channel="web", locale="en"), answered],
        )
        await self.append(subjects.log("local", self.conversation, "turn"), codec.encode(commit), f"answer-{inbox_seq}")

    async def publish_notice(self, text: str) -> None:
        """Publish a notice."""
        notice = NoticePublished(
            notice=text, text=text, severity="info", audience="all", published_at=1.0, expires_at=9.0
        )
        await self.append(subjects.notice("local", "all"), codec.encode(notice), f"notice-{text}")

    async def publish_dead_letter(self, inbox_seq: int) -> None:
        """Dead-letter an inbox message."""
        letter = DeadLetter(
            stream="INBOX",
            consumer="slot-local-0",
            subject=subjects.inbox("local", self.conversation),
            sequence=inbox_seq,
            deliveries=3,
            reason="poison",
            payload="?",
            at=3.5,
        )
        await self.append(subjects.dead_letter("INBOX", "slot-local-0"), codec.encode(letter), f"dead-{inbox_seq}")

    async def publish_view(self, inbox_seq: int) -> None:
        """Record that an operator has read the conversation."""
        viewed = ConversationViewed(conversation=self.conversation, view="desk", operator="Ada", role="lead", at=4.5)
        await self.append(subjects.view("local", self.conversation), codec.encode(viewed), f"view-{inbox_seq}")

    async def publish_erasure(self, inbox_seq: int) -> None:
        """Record that a customer was erased."""
        key = f"{self.conversation}-{inbox_seq}"
        erased = CustomerErased(
            key=key, tenant="default", customer=self.conversation, fingerprint=str(inbox_seq), operator="Ada", at=5.5
        )
        await self.append(subjects.erasure("local", *key.split("-")), codec.encode(erased), f"erasure-{inbox_seq}")

    async def publish_hold(self, inbox_seq: int) -> None:
        """Place a legal hold."""
        name = f"h{self.conversation}-{inbox_seq}"
        hold = HoldPlaced(hold=name, reason="case", placed_at=5.5, operator="Ada", role="lead", tenant="default")
        await self.append(subjects.hold("local", name), codec.encode(hold), f"hold-{inbox_seq}")

    async def publish_violation(self, inbox_seq: int) -> None:
        """Record a refused passage to another region."""
        violated = ResidencyViolated(
            border="tool", from_region="local", to_region="us", service="agents", instance="agents-1", at=6.5
        )
        await self.append(subjects.violation("local", "tool"), codec.encode(violated), f"violation-{inbox_seq}")

    async def publish_turns(self, turns: int) -> None:
        """Append a number of messages to every stream."""
        first, self._turns = self._turns, self._turns + turns
        for number in range(first, self._turns):
            inbox_seq = await self.publish_question(f"m{number}", f"question {number}")
            await self.publish_answer(inbox_seq, f"m{number}", f"answer {number}")
            await self.publish_notice(f"{self.conversation}-{number}")
            await self.publish_dead_letter(inbox_seq)
            await self.publish_view(inbox_seq)
            await self.publish_erasure(inbox_seq)
            await self.publish_hold(inbox_seq)
            await self.publish_violation(inbox_seq)

    async def append(self, subject: str, payload: bytes, message_id: str) -> int:
        """Append any bytes and return their sequence."""
        return (await self._bus.append(subject, payload, message_id=f"{self.conversation}-{message_id}")).seq

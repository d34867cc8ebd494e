"""What audit's tests share: an auditor who reads the archive, messages to record, a recorder to run."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from trunkline_audit.adapters.jetstream import JetStreamFeeds
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.application.recorder import Recorder
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.latency import RecentLatency
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.ids import ConversationId, Instance, conversation_id, turn_id
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit, Started, TurnAnswered
from trunkline_protocols.presence import DeadLetter

STREAMS = [stream.name for stream in streams.AUDITED]


class ArchiveReader:
    """Reads an archive as an auditor does, over a connection of its own each time."""

    def __init__(self, dsn: str) -> None:
        """Know the address."""
        self.dsn = dsn

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Return a query's rows."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def messages(self) -> list[tuple[str, int, str, bytes]]:
        """Return what is recorded, nothing when there is no schema yet."""
        try:
            rows = await self.fetch("SELECT stream, sequence, subject, raw FROM messages ORDER BY stream, sequence")
        except asyncpg.UndefinedTableError:
            return []
        return [tuple(row) for row in rows]


async def stored(bus: Bus) -> list[tuple[str, int, str, bytes]]:
    """Return what the audited streams hold, in order."""
    return [
        (stream, message.seq, message.subject, message.payload)
        for stream in sorted(STREAMS)
        for message in await bus.read_messages(stream, ">")
    ]


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float = 30.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)  # between two looks at something outside this process


async def everything_recorded(bus: Bus, archive: ArchiveReader) -> None:
    """Wait until the archive has as much as the streams, then see that it has the same, each once."""
    expected = await stored(bus)

    async def as_many() -> bool:
        return len(await archive.messages()) >= len(expected)

    await until(as_many)
    assert await archive.messages() == expected


async def everything_acknowledged(bus: Bus) -> None:
    """Wait until no stream waits for audit any more."""

    async def idle() -> bool:
        states = [await bus.api(f"CONSUMER.INFO.{stream}.audit") for stream in STREAMS]
        return all(state["num_pending"] + state["num_ack_pending"] == 0 for state in states)

    await until(idle)


@asynccontextmanager
async def recording(nats_url: str, archive: ArchiveReader, *, batch: int = 50) -> AsyncIterator[Recorder]:
    """Run a recorder on a connection of its own until the block ends, then let it die without a word."""
    bus = await connect(nats_url, "audit-test")
    consumers = [streams.audit_consumer(stream) for stream in streams.AUDITED]
    recorder = Recorder(
        JetStreamFeeds(bus, consumers, batch=batch, wait_s=0.02),
        PostgresArchive(archive.dsn, name="audit-test"),
        latency=RecentLatency(),
        now=lambda: datetime.now(UTC),
        chance=random.random,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(recorder.run())
            try:
                yield recorder
            finally:
                task.cancel()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None  # the test's own failure, as pytest likes to show it
    finally:
        await bus.close()


class Speaker:
    """Puts messages of the four protocols into their streams, as the services do."""

    def __init__(self, bus: Bus) -> None:
        """Speak in one new conversation."""
        self._bus = bus
        self._spoken = 0
        self.conversation: ConversationId = conversation_id(secrets.token_hex(10))

    async def ask(self, message_id: str, text: str, *, repeat: int = 0) -> int:
        """Say something as the customer and return its place in the inbox; `repeat` past the duplicate window."""
        said = TurnReceived(
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
        return await self.put(subjects.inbox("local", self.conversation), codec.encode(said), f"{message_id}-{repeat}")

    async def answer(self, inbox_seq: int, message_id: str, text: str) -> None:
        """Commit an answer."""
        answered = TurnAnswered(
            message_id=message_id,
            accepted_seq=1,
            customer_text="",
            received_at=1.5,
            text=text,
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
        await self.put(subjects.log("local", self.conversation, "turn"), codec.encode(commit), f"answer-{inbox_seq}")

    async def notify(self, text: str) -> None:
        """Publish a notice."""
        notice = NoticePublished(
            notice=text, text=text, severity="info", audience="all", published_at=1.0, expires_at=9.0
        )
        await self.put(subjects.notice("local", "all"), codec.encode(notice), f"notice-{text}")

    async def give_up(self, inbox_seq: int) -> None:
        """Bury an inbox message."""
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
        await self.put(subjects.dead_letter("INBOX", "slot-local-0"), codec.encode(letter), f"dead-{inbox_seq}")

    async def speak(self, turns: int) -> None:
        """Fill every stream with so many more messages."""
        first, self._spoken = self._spoken, self._spoken + turns
        for number in range(first, self._spoken):
            place = await self.ask(f"m{number}", f"question {number}")
            await self.answer(place, f"m{number}", f"answer {number}")
            await self.notify(f"{self.conversation}-{number}")
            await self.give_up(place)

    async def put(self, subject: str, payload: bytes, message_id: str) -> int:
        """Store any bytes."""
        return (await self._bus.append(subject, payload, message_id=f"{self.conversation}-{message_id}")).seq

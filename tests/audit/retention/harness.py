"""Traffic of customers on real streams, recorded with a clock that is fast: a day passes when the test says so."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.jetstream import JetStreamFeed, JetStreamFeeds
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.adapters.retention_store import PostgresRetention
from trunkline_audit.adapters.stream_trimmer import JetStreamTrimmer
from trunkline_audit.application.recorder import Recorder
from trunkline_audit.application.retention_run import RetentionRun
from trunkline_audit.core.retention.policy import RecordKind, RetentionPolicy, RetentionRule
from trunkline_audit.ports import ArchiveObjects, FeedItem
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.delivery import Delivery, Done, settle
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.pinned_consumer import PinnedConsumer
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.holds import HoldMessage, HoldPlaced
from trunkline_protocols.ids import ConversationId, Instance, conversation_id, turn_id
from trunkline_protocols.inbox import EndRequested, TurnReceived
from trunkline_protocols.log import Closed, Commit, Event, Started, TurnAnswered
from trunkline_protocols.rules.frames import frames_in
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.subjects import CommitKind
from trunkline_protocols.topology import slot_consumers

from tests.audit.harness import ArchiveReader, wait_until
from tests.support.borders import ListedBorders

REGION = "local"
SECRET = "s" * 32
HEAD_EVERY_S = 0.05
"""A test waits for a head each time that it lets days pass."""
KEEP_DAYS = 7
MARKER_DAYS = 9


def keep_for(days: float) -> RetentionPolicy:
    """Return a policy that keeps conversations and views for some days, and markers for nine."""
    kinds: frozenset[RecordKind] = frozenset({"conversation", "inbox", "view"})
    return RetentionPolicy(
        (RetentionRule("some days", timedelta(days=days), kinds=kinds),), marker=timedelta(days=MARKER_DAYS)
    )


POLICY = keep_for(KEEP_DAYS)


@dataclass(slots=True)
class FastClock:
    """A clock with an offset, which records get too."""

    days: float = 0.0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=self.days)


class FastFeeds(JetStreamFeeds):
    """Feeds whose messages have the time of a fast clock."""

    def __init__(self, bus: Bus, clock: FastClock) -> None:
        super().__init__(bus, [streams.audit_consumer(each) for each in streams.AUDITED], batch=100, wait_s=0.01)
        self._clock = clock

    @asynccontextmanager
    async def open(self, stream: str, *, position: int) -> AsyncIterator[JetStreamFeed]:
        async with super().open(stream, position=position) as feed:
            receive = feed.receive

            async def receive_later() -> Sequence[FeedItem]:
                found = await receive()
                shift = timedelta(days=self._clock.days)
                return [replace(item, message=replace(item.message, at=item.message.at + shift)) for item in found]

            feed.receive = receive_later  # type: ignore[method-assign] # the time of the stream is the server's
            yield feed


@dataclass(slots=True)
class ClientRecord:
    """One conversation as its client saw it."""

    conversation: ConversationId
    tenant: str
    customer: str
    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    is_closed: bool = False


class Traffic:
    """Customers, and the commits of the fleet, fenced as its services do."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.records: dict[ConversationId, ClientRecord] = {}
        self.inbox: dict[ConversationId, int] = {}
        self._log: dict[ConversationId, int] = {}
        self._frames: dict[ConversationId, int] = {}

    async def converse(
        self, turns: int = 2, *, tenant: str = "default", customer: str = "ada", close: bool = True
    ) -> ClientRecord:
        """Hold a conversation of some turns, and close it."""
        record = ClientRecord(conversation_id(secrets.token_hex(10)), tenant, customer)
        self.records[record.conversation] = record
        for _ in range(turns):
            await self.turn(record)
        await self._bus.publish(subjects.snapshot(record.conversation), codec.encode(_snapshot(record)))
        if close:
            await self.close(record)
        return record

    async def turn(self, record: ClientRecord) -> None:
        """Ask and answer."""
        number = len(record.questions)
        question, answer = f"question {number} {secrets.token_hex(4)}", f"answer {number} {secrets.token_hex(4)}"
        seq = await self._receive(record, self._question(record, question))
        record.questions.append(question)
        event = TurnAnswered(
            message_id=f"m{number}",
            accepted_seq=2 * number + 2,
            text=question,
            received_at=1.0,
            answer=answer,
            specialty="billing",
            agent="bill",
        )
        first: list[Event] = [Started(customer=record.customer, tenant=record.tenant, channel="web", locale="en")]
        await self._commit(record, "turn", [*(first if not number else []), event], seq)
        record.answers.append(answer)

    async def close(self, record: ClientRecord) -> None:
        """End by the customer."""
        request = EndRequested(
            conversation=record.conversation,
            previous=self.inbox.get(record.conversation, 0),
            customer=record.customer,
            tenant=record.tenant,
            ingress=Instance("ingress-1"),
            received_at=1.0,
        )
        seq = await self._receive(record, request)
        await self._commit(record, "closed", [Closed(reason="ended by the customer")], seq)
        record.is_closed = True

    def _question(self, record: ClientRecord, text: str) -> TurnReceived:
        number = len(record.questions)
        return TurnReceived(
            conversation=record.conversation,
            message_id=f"m{number}",
            text=text,
            seq=2 * number + 2,
            previous=self.inbox.get(record.conversation, 0),
            customer=record.customer,
            tenant=record.tenant,
            region=REGION,
            channel="web",
            locale="en",
            ingress=Instance("ingress-1"),
            received_at=1.0,
        )

    async def _receive(self, record: ClientRecord, message: TurnReceived | EndRequested) -> int:
        subject = subjects.inbox(REGION, record.conversation)
        fence = (subject, message.previous)
        appended = await self._bus.append(subject, codec.encode(message), message_id=secrets.token_hex(8), fence=fence)
        self.inbox[record.conversation] = appended.seq
        return appended.seq

    async def _commit(self, record: ClientRecord, kind: CommitKind, events: list[Event], inbox_seq: int) -> None:
        name = record.conversation
        commit = Commit(
            conversation=name,
            region=REGION,
            tenant=record.tenant,
            customer=record.customer,
            kind=kind,
            turn=turn_id(name, inbox_seq),
            epoch=1,
            owner="billing",
            agent="bill",
            inbox_seq=inbox_seq,
            previous=self._log.get(name, 0),
            frames_before=self._frames.get(name, 0),
            at=2.0,
            events=events,
            ended_before=record.is_closed,
        )
        self._frames[name] = commit.frames_before + frames_in(events)
        appended = await self._bus.append(
            subjects.log(REGION, name, kind),
            codec.encode(commit),
            message_id=secrets.token_hex(8),
            fence=(subjects.log_fence(REGION, name), commit.previous),
        )
        self._log[name] = appended.seq


def _snapshot(record: ClientRecord) -> Snapshot:
    return Snapshot(
        conversation=record.conversation,
        sequence=1,
        inbox_seq=1,
        epoch=1,
        hops=0,
        owner="billing",
        agent="bill",
        customer=record.customer,
        tenant=record.tenant,
        channel="web",
        locale="en",
        closed=False,
        turns=1,
        frames=1,
        ids=b"",
        summary="",
        transcript=[],
    )


@dataclass(slots=True)
class SmallSuite:
    """A suite without agents: streams, recorder, slots' consumers, and retention with the fast clock."""

    bus: Bus
    archive: ArchiveReader
    traffic: Traffic
    clock: FastClock
    location: str
    signer: HeadSigner
    nats_url: str

    def retention(
        self,
        policy: RetentionPolicy = POLICY,
        *,
        holder: str = "test",
        open_objects: Callable[[str], ArchiveObjects] = ObstoreObjectStore,
        lease_s: float = 2.0,
    ) -> RetentionRun:
        """Return a run with the clock as it is."""
        return RetentionRun(
            PostgresRetention(self.archive.dsn, holder=holder, region=REGION, lease_s=lease_s),
            JetStreamTrimmer(self.bus, REGION),
            open_objects,
            policy,
            location=self.location,
            now=self.clock,
        )

    async def hold(self, message: HoldMessage) -> None:
        """Store a hold or a release."""
        await self.bus.append(
            subjects.hold(REGION, message.hold), codec.encode(message), message_id=secrets.token_hex(8)
        )

    async def settle(self) -> None:
        """Wait until everything is acknowledged by all consumers, and a head covers all records."""
        names = [(each.stream, each.name) for each in slot_consumers(REGION)]
        names += [(each.name, "audit") for each in streams.AUDITED]

        async def idle() -> bool:
            states = [await self.bus.api(f"CONSUMER.INFO.{stream}.{name}") for stream, name in names]
            return all(state["num_pending"] + state["num_ack_pending"] == 0 for state in states)

        async def signed() -> bool:
            if not await self.archive.fetch("SELECT FROM pg_tables WHERE tablename = 'tree_heads'"):
                return False
            sizes = await self.archive.fetch(
                "SELECT (SELECT count(*) FROM messages), (SELECT coalesce(max(size), 0) FROM tree_heads)"
            )
            return bool(sizes[0][0] == sizes[0][1])

        await wait_until(idle)
        await wait_until(signed)

    async def stream(self, name: str, record: ClientRecord) -> list[int]:
        """Return the sequences of a conversation's messages in INBOX or CONVERSATIONS."""
        subject = {
            "INBOX": subjects.inbox(REGION, record.conversation),
            "CONVERSATIONS": subjects.log_fence(REGION, record.conversation),
        }[name]
        return [message.seq for message in await self.bus.read_messages(name, subject)]

    async def texts(self, record: ClientRecord) -> int:
        """Return the number of a conversation's rows that have their bytes."""
        query = "SELECT count(*) FROM messages WHERE conversation = $1 AND raw IS NOT NULL"
        return int((await self.archive.fetch(query, record.conversation))[0][0])

    def files(self, pattern: str) -> list[Path]:
        """Return the files of all archives that match."""
        return sorted(Path(self.location).glob(f"*/{pattern}"))


def hold_on(record: ClientRecord, name: str = "h1") -> HoldPlaced:
    """Return a hold of a conversation."""
    return HoldPlaced(
        hold=name, reason="case", placed_at=1.0, operator="Ada", role="lead", conversation=record.conversation
    )


@asynccontextmanager
async def open_suite(nats_url: str, archive: ArchiveReader, folder: Path) -> AsyncIterator[SmallSuite]:
    """Run recorder and slots' consumers until the block ends."""
    clock = FastClock()
    signer = HeadSigner(REGION, SECRET, now=clock)
    async with AsyncExitStack() as stack:
        bus = await connect(nats_url, "audit-test")
        stack.push_async_callback(bus.close)
        for name in (*(each.name for each in streams.AUDITED), f"KV_{streams.SNAPSHOTS.name}"):
            await bus.api(f"STREAM.PURGE.{name}")  # what other tests left
        acks: set[asyncio.Task[None]] = set()
        recorder = Recorder(
            FastFeeds(bus, clock),
            PostgresArchive(archive.dsn, name="audit-test", heads=signer, head_every_s=HEAD_EVERY_S),
            latency=RecentLatency(),
            now=clock,
            jitter=lambda: 0.5,
            borders=ListedBorders(REGION),
        )
        try:
            async with asyncio.TaskGroup() as tasks:

                def acknowledge(_: int, delivery: Delivery) -> None:
                    task = tasks.create_task(settle(bus, delivery, Done()))
                    acks.add(task)
                    task.add_done_callback(acks.discard)

                slots = PinnedConsumer(
                    bus,
                    list(slot_consumers(REGION)),
                    on_delivery=acknowledge,
                    on_release=lambda _: None,
                    fair_share=lambda: 8,
                )
                running = [tasks.create_task(recorder.run()), tasks.create_task(slots.run())]
                try:
                    yield SmallSuite(bus, archive, Traffic(bus), clock, str(folder / "archives"), signer, nats_url)
                finally:
                    for task in running:
                        task.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the failure of the test itself, which pytest displays better

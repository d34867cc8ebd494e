"""Inbox and log adapters on a real nats-server: unsettled messages, and the log from its end."""

from __future__ import annotations

import json
import secrets
from typing import cast

import msgspec
import pytest
from trunkline_chassis.bus import AppendResult, Bus, StreamMessage, connect
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.adapters.nats.announcements import NatsSocketPresence, NatsTurnCanceller
from trunkline_ingress.adapters.nats.conversation_log import NatsConversationLog
from trunkline_ingress.adapters.nats.inbox import NatsInbox
from trunkline_ingress.application.session import Session, SessionPorts
from trunkline_ingress.core.identity import Identity
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId, Instance, conversation_id
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.log import CommitStored

from tests.faults.tcp_proxy import TcpProxy
from tests.ingress.conversation_simulator import ConversationSimulator, simulate

pytestmark = pytest.mark.processes


class RealStreams:
    """The conversation of a simulator in the streams of a real server."""

    def __init__(self, bus: Bus, simulator: ConversationSimulator) -> None:
        self.id: ConversationId = conversation_id(secrets.token_hex(8))
        self.inbox = NatsInbox(bus)
        self.log = NatsConversationLog(bus)
        self.frames: list[dict[str, object]] = []
        self._bus = bus
        self._simulator = simulator
        self._sequences = {0: 0}
        """Inbox sequence of each simulated message on the server."""

    async def write(self) -> None:
        """Append all simulated messages, then all commits."""
        for inbox_seq, message in self._simulator.inbox:
            stored = msgspec.structs.replace(
                message, conversation=self.id, previous=self._sequences[getattr(message, "previous", 0)]
            )
            self._sequences[inbox_seq] = await self.append(codec.encode(stored))
        previous = 0
        for commit in (stored.commit for stored in self._simulator.commits):
            written = msgspec.structs.replace(
                commit, conversation=self.id, previous=previous, inbox_seq=self._sequences[commit.inbox_seq]
            )
            subject = subjects.log("local", self.id, commit.kind)
            fence = (subjects.log_fence("local", self.id), previous)
            previous = (
                await self._bus.append(subject, codec.encode(written), message_id=secrets.token_hex(8), fence=fence)
            ).seq

    async def append(self, payload: bytes) -> int:
        """Append to the inbox."""
        appended = await self._bus.append(subjects.inbox("local", self.id), payload, message_id=secrets.token_hex(8))
        return appended.seq

    async def unsettled(self, *, after: int) -> tuple[int, list[int]]:
        """Return the end of the inbox and the sequences of the unsettled messages."""
        found = await self.inbox.unsettled("local", self.id, after=after)
        return found.end, [sequence for sequence, _ in found.messages]

    def sequences(self) -> list[int]:
        """Return the sequences of the simulated messages, in order."""
        return [self._sequences[inbox_seq] for inbox_seq, _ in self._simulator.inbox]

    def simulated_message(self) -> InboxMessage:
        """Return the first simulated message."""
        return self._simulator.inbox[0][1]

    async def purge_inbox(self) -> None:
        """Remove all messages of the conversation, as the stream does after its retention time."""
        await self._bus.api(f"STREAM.PURGE.{streams.INBOX.name}", {"filter": subjects.inbox("local", self.id)})

    async def resume(self, last_seq: int) -> Session:
        """Resume on a new session."""

        async def send(raw: bytes) -> None:
            self.frames.append(json.loads(raw))

        session = Session(
            Identity(
                conversation=self.id, customer="ada", tenant="default", region="local", channel="web", locale="en"
            ),
            SessionPorts(
                self.inbox, self.log, NatsSocketPresence(self._bus), NatsTurnCanceller(self._bus, region="local")
            ),
            ingress=Instance("ingress-1"),
            send=send,
            now=lambda: 1.0,
            max_queued_frames=8,
        )
        missed = await session.restore(last_seq)
        assert missed is not None
        assert [frame.seq for frame in missed] == list(range(last_seq + 1, self._simulator.ledger.last_seq + 1))
        return session


async def test_unsettled_messages_are_read_from_the_end_of_the_inbox(bus: Bus) -> None:
    """No message, one, several, and an undecodable one among them."""
    conversation = RealStreams(bus, simulate(["message", "answer", "message", "rate", "message"]))
    await conversation.write()
    first, second, rating, third = conversation.sequences()
    assert await conversation.unsettled(after=third) == (third, [])
    assert await conversation.unsettled(after=rating) == (third, [third])
    assert await conversation.unsettled(after=first) == (third, [second, rating, third])
    assert await conversation.unsettled(after=0) == (third, [first, second, rating, third])
    undecodable = await conversation.append(b"undecodable")
    assert await conversation.unsettled(after=third) == (undecodable, [])
    assert await conversation.unsettled(after=rating) == (undecodable, [third])
    assert await RealStreams(bus, ConversationSimulator()).unsettled(after=0) == (0, [])


@pytest.mark.parametrize("last_seq", [1, 31, 40, 41, 43])
async def test_resumed_session_accepts_messages(bus: Bus, last_seq: int) -> None:
    """The log is read only as far back as needed; a repeated message keeps its first number."""
    conversation = RealStreams(bus, simulate([*["message", "answer"] * 20, "message", "hand_off"]))
    await conversation.write()
    session = await conversation.resume(last_seq)
    for message_id in ("m1", "m21", "new", "m20"):
        await session.accept_message(message_id, "?")
    assert [(frame["id"], frame["seq"]) for frame in conversation.frames] == [
        ("m1", 2),
        ("m21", 42),
        ("new", 44),
        ("m20", 40),
    ]
    assert len((await conversation.unsettled(after=0))[1]) == 22


async def test_resume_succeeds_after_the_inbox_has_expired(bus: Bus) -> None:
    """Messages are retained for days, the log is unlimited: the next message is the first of the inbox."""
    conversation = RealStreams(bus, simulate(["message", "answer"] * 3))
    await conversation.write()
    await conversation.purge_inbox()
    session = await conversation.resume(7)
    await session.accept_message("new", "?")
    assert [(frame["id"], frame["seq"]) for frame in conversation.frames] == [("new", 8)]


async def test_commit_is_read_by_the_sequence_in_its_successor(bus: Bus) -> None:
    """An unknown sequence and an unknown conversation have no commit."""
    conversation = RealStreams(bus, simulate(["message", "answer", "hand_off", "message", "answer"]))
    await conversation.write()
    last = await conversation.log.last_commit("local", conversation.id)
    assert isinstance(last, CommitStored)
    before = await conversation.log.commit_at(last.commit.previous)
    assert before is not None
    assert (before.sequence, before.commit.previous) == (last.commit.previous, 0)
    assert await conversation.log.commit_at(last.sequence + 1_000) is None
    assert await conversation.log.last_commit("local", conversation_id("unknown")) is None


async def test_inbox_contains_only_conversations_with_a_message(bus: Bus) -> None:
    """Checked when a resume token is invalid."""
    conversation = RealStreams(bus, simulate(["message"]))
    assert not await conversation.inbox.contains("local", conversation.id)
    await conversation.write()
    assert await conversation.inbox.contains("local", conversation.id)


@pytest.mark.usefixtures("bus")
async def test_message_is_accepted_although_every_acknowledgement_is_late(nats_url: str) -> None:
    """Later than one attempt waits: the message is stored once, no error is sent, and a repeat gets the same number."""
    proxy = TcpProxy(int(nats_url.rpartition(":")[2]))
    slow = await connect(f"nats://127.0.0.1:{proxy.port}", "test")
    try:
        conversation = RealStreams(slow, ConversationSimulator())
        session = await conversation.resume(1)
        proxy.set_reply_delay(1.5)
        await session.accept_message("m1", "?")
        proxy.set_reply_delay(0.0)
        await session.accept_message("m1", "?")
        assert [(frame["type"], frame["id"], frame["seq"]) for frame in conversation.frames] == [
            ("accepted", "m1", 2),
            ("accepted", "m1", 2),
        ]
        assert len((await conversation.unsettled(after=0))[1]) == 1
    finally:
        await slow.close()
        proxy.close()


class UnacknowledgedBus:
    """A connection that stores messages and loses every acknowledgement."""

    def __init__(self, bus: Bus, *, stores: bool) -> None:
        """If it does not store, the messages are lost too."""
        self._bus = bus
        self._stores = stores

    async def append(self, subject: str, payload: bytes, *, message_id: str, fence: tuple[str, int]) -> AppendResult:
        """Store, and fail."""
        if self._stores:
            await self._bus.append(subject, payload, message_id=message_id, fence=fence)
        raise BusUnavailableError("no reply")

    async def last_message(self, stream: str, subject_filter: str) -> StreamMessage | None:
        """Read."""
        return await self._bus.last_message(stream, subject_filter)


async def test_stream_decides_about_a_message_that_was_never_acknowledged(bus: Bus) -> None:
    """A stored one is accepted; only one that is not stored is unavailable."""
    conversation = RealStreams(bus, simulate(["message"]))
    message = msgspec.structs.replace(conversation.simulated_message(), conversation=conversation.id, previous=0)
    inbox = NatsInbox(cast("Bus", UnacknowledgedBus(bus, stores=False)))
    with pytest.raises(BusUnavailableError):
        await inbox.append("local", conversation.id, message, message_id="m1")
    inbox = NatsInbox(cast("Bus", UnacknowledgedBus(bus, stores=True)))
    position = await inbox.append("local", conversation.id, message, message_id="m1")
    assert (await conversation.unsettled(after=0)) == (position.seq, [position.seq])

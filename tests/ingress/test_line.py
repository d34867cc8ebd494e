"""The ingress' reads on a real nats-server: what the customer said that no commit settles, and a log from its end."""

from __future__ import annotations

import json
import secrets

import msgspec
import pytest
from trunkline_chassis.bus import Bus
from trunkline_ingress.adapters.nats import NatsLine
from trunkline_ingress.application.session import Session
from trunkline_ingress.core.tokens import Identity
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId, Instance, conversation_id
from trunkline_protocols.log import CommitStored

from tests.ingress.conversation_simulator import World, lived

pytestmark = pytest.mark.processes


class Streams:
    """A world's conversation in the streams of a real server."""

    def __init__(self, bus: Bus, world: World) -> None:
        self.id: ConversationId = conversation_id(secrets.token_hex(8))
        self.line = NatsLine(bus, "local")
        self.told: list[dict[str, object]] = []
        self._bus = bus
        self._world = world
        self._places = {0: 0}
        """Where the world's messages are in the inbox."""

    async def write(self) -> None:
        """Append all that the world holds, messages first."""
        for inbox_seq, message in self._world.inbox:
            moved = msgspec.structs.replace(
                message, conversation=self.id, previous=self._places[getattr(message, "previous", 0)]
            )
            self._places[inbox_seq] = await self.put(codec.encode(moved))
        previous = 0
        for commit in (stored.commit for stored in self._world.commits):
            moved = msgspec.structs.replace(
                commit, conversation=self.id, previous=previous, inbox_seq=self._places[commit.inbox_seq]
            )
            subject = subjects.log("local", self.id, commit.kind)
            fence = (subjects.log_fence("local", self.id), previous)
            previous = (
                await self._bus.append(subject, codec.encode(moved), message_id=secrets.token_hex(8), fence=fence)
            ).seq

    async def put(self, payload: bytes) -> int:
        """Append to the inbox."""
        appended = await self._bus.append(subjects.inbox("local", self.id), payload, message_id=secrets.token_hex(8))
        return appended.seq

    async def unsettled(self, *, after: int) -> tuple[int, list[int]]:
        """The inbox' end and the places of the messages that are read."""
        found = await self.line.unsettled("local", self.id, after=after)
        return found.end, [sequence for sequence, _ in found.messages]

    def places(self) -> list[int]:
        """Where the world's messages are, in order."""
        return [self._places[inbox_seq] for inbox_seq, _ in self._world.inbox]

    async def forget_inbox(self) -> None:
        """Let all its messages grow too old to be kept."""
        await self._bus.api(f"STREAM.PURGE.{streams.INBOX.name}", {"filter": subjects.inbox("local", self.id)})

    async def come_back(self, last_seq: int) -> Session:
        """Resume."""

        async def send(raw: bytes) -> None:
            self.told.append(json.loads(raw))

        ada = Identity(
            conversation=self.id, customer="ada", tenant="default", region="local", channel="web", locale="en"
        )
        connection = Session(ada, ingress=Instance("ingress-1"), line=self.line, send=send, now=lambda: 1.0, outgoing=8)
        missed = await connection.restore(last_seq)
        assert missed is not None
        assert [frame.seq for frame in missed] == list(range(last_seq + 1, self._world.ledger.high + 1))
        return connection


async def test_what_is_unsettled_is_read_from_the_end_of_the_inbox(bus: Bus) -> None:
    """Nothing, one message, several, and nonsense among them."""
    here = Streams(bus, lived(["say", "answer", "say", "rate", "say"]))
    await here.write()
    first, second, rating, third = here.places()
    assert await here.unsettled(after=third) == (third, [])
    assert await here.unsettled(after=rating) == (third, [third])
    assert await here.unsettled(after=first) == (third, [second, rating, third])
    assert await here.unsettled(after=0) == (third, [first, second, rating, third])
    nonsense = await here.put(b"nonsense")
    assert await here.unsettled(after=third) == (nonsense, [])
    assert await here.unsettled(after=rating) == (nonsense, [third])
    assert await Streams(bus, World()).unsettled(after=0) == (0, [])


@pytest.mark.parametrize("last_seq", [1, 31, 40, 41, 43])
async def test_customer_comes_back_and_goes_on(bus: Bus, last_seq: int) -> None:
    """The log is read as far back as must be; a repeat of the first message is answered as it was."""
    here = Streams(bus, lived([*["say", "answer"] * 20, "say", "hand_off"]))
    await here.write()
    connection = await here.come_back(last_seq)
    for message_id in ("m1", "m21", "new", "m20"):
        await connection.say(message_id, "?")
    assert [(frame["id"], frame["seq"]) for frame in here.told] == [("m1", 2), ("m21", 42), ("new", 44), ("m20", 40)]
    assert len((await here.unsettled(after=0))[1]) == 22


async def test_customer_comes_back_when_the_inbox_has_forgotten_everything(bus: Bus) -> None:
    """Messages are kept for days, the log for ever: the next one is the inbox' first."""
    here = Streams(bus, lived(["say", "answer"] * 3))
    await here.write()
    await here.forget_inbox()
    connection = await here.come_back(7)
    await connection.say("new", "?")
    assert [(frame["id"], frame["seq"]) for frame in here.told] == [("new", 8)]


async def test_commit_is_read_where_its_successor_says(bus: Bus) -> None:
    """And nothing where nothing is."""
    here = Streams(bus, lived(["say", "answer", "hand_off", "say", "answer"]))
    await here.write()
    last = await here.line.last_commit("local", here.id)
    assert isinstance(last, CommitStored)
    before = await here.line.commit_at(last.commit.previous)
    assert before is not None
    assert (before.sequence, before.commit.previous) == (last.commit.previous, 0)
    assert await here.line.commit_at(last.sequence + 1_000) is None
    assert await here.line.last_commit("local", conversation_id("nobody")) is None

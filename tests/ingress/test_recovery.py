"""A resume reads what the customer has missed, not the conversation, and tells the same as if it had read all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from trunkline_ingress.application.recovery import recover
from trunkline_ingress.application.session import Session
from trunkline_ingress.core.tokens import Identity
from trunkline_protocols.frames import DurableFrame
from trunkline_protocols.ids import Instance

from tests.ingress.conversation_simulator import C, World, WorldLine, lived, slow_scripts

ADA = Identity(conversation=C, customer="ada", tenant="default", region="local", channel="web", locale="en")


class Socket:
    """A customer's socket on the streams of a world."""

    def __init__(self, world: World) -> None:
        self.line = WorldLine(world)
        self.told: list[dict[str, Any]] = []
        self.connection = Session(
            ADA, ingress=Instance("ingress-2"), line=self.line, send=self._send, now=lambda: 1.0, outgoing=8
        )

    async def _send(self, raw: bytes) -> None:
        self.told.append(json.loads(raw))


def long(turns: int) -> World:
    """A conversation of so many turns: their frames have the numbers 2 to 2 * turns + 1."""
    return lived(["say", "answer"] * turns)


@given(slow_scripts)
def test_whatever_was_missed_is_told_as_from_the_whole_log(script: list[str]) -> None:
    """For every number that the customer may have seen last."""
    world = lived(script, slow=True)
    whole, frames = world.replay()

    async def come_back() -> None:
        for last_seq in range(whole.high + 2):
            ledger, missed = await recover(WorldLine(world), "local", C, last_seq=last_seq)
            assert missed == [frame for frame in frames if frame.seq > last_seq], last_seq
            facts = ("high", "last_commit", "last_inbox", "unanswered", "closed")
            assert [getattr(ledger, fact) for fact in facts] == [getattr(whole, fact) for fact in facts], last_seq

    asyncio.run(come_back())


async def _missed(line: WorldLine, last_seq: int) -> list[DurableFrame]:
    return (await recover(line, "local", C, last_seq=last_seq))[1]


@pytest.mark.parametrize(
    ("missed", "read"),
    [
        (0, ["last"]),
        (1, ["last"]),
        (2, ["last"]),
        (3, ["last", "one"]),
        (20, ["last", *["one"] * 9]),
        (34, ["last", *["one"] * 15, "all"]),
        (100, ["last", "all"]),
        (2_001, ["last", "all"]),
    ],
)
async def test_reads_as_much_of_the_log_as_was_missed(missed: int, read: list[str]) -> None:
    """Who was told everything costs one request, who comes with nothing one read of all."""
    world = long(1_000)
    line = WorldLine(world)
    frames = await _missed(line, 2_001 - missed)
    assert frames == [frame for frame in world.sent if frame.seq > 2_001 - missed]
    assert line.read == read


async def test_turn_under_way_is_followed_back_to_what_is_settled() -> None:
    """Else the inbox would be read from its beginning."""
    world = lived(["say", "answer", "say", "answer", "say", "hand_off", "hand_off"])
    line = WorldLine(world)
    assert await _missed(line, world.ledger.high) == []
    assert line.read == ["last", "one", "one"]


async def test_repeat_of_a_message_of_long_ago_is_answered_as_the_first_was() -> None:
    """Also where the resume did not read that far; it is stored once."""
    world = long(50)
    socket = Socket(world)
    assert await socket.connection.restore(world.ledger.high) == []
    assert "all" not in socket.line.read
    await socket.connection.say("m1", "?")
    await socket.connection.say("m50", "?")
    assert [(frame["id"], frame["seq"]) for frame in socket.told] == [("m1", 2), ("m50", 100)]
    assert len(world.inbox) == 50


async def test_next_message_after_a_resume_gets_the_next_number() -> None:
    """Behind all that the resume did not read."""
    world = long(50)
    socket = Socket(world)
    await socket.connection.restore(world.ledger.high)
    await socket.connection.say("new", "?")
    await socket.connection.say("new", "?")
    await socket.connection.say("newer", "?")
    assert [(frame["id"], frame["seq"]) for frame in socket.told] == [("new", 102), ("new", 102), ("newer", 103)]
    assert len(world.inbox) == 52
    assert "all" not in socket.line.read


async def test_id_that_looks_like_an_old_one_is_looked_up_and_found_new() -> None:
    """The filter of ids is of a fixed size: after many messages it grants what was never there."""
    world = long(2_000)
    socket = Socket(world)
    await socket.connection.restore(world.ledger.high)
    for number in range(20):
        await socket.connection.say(f"new{number}", "?")
    assert [frame["seq"] for frame in socket.told] == list(range(4_002, 4_022))
    assert socket.line.read == ["last", "all"], "once"


async def test_number_that_was_never_given_is_not_of_this_conversation() -> None:
    """However the log is read."""
    world = long(50)
    socket = Socket(world)
    assert await socket.connection.restore(world.ledger.high + 1) is None


async def test_conversation_that_has_ended_is_closed_although_something_was_answered_later() -> None:
    """Said before the end was heard of, and answered with a word about that."""
    world = lived(["say", "answer", "close", "say", "answer", "say", "answer"])
    socket = Socket(world)
    await socket.connection.restore(world.ledger.high)
    assert socket.line.read == ["last"]
    assert socket.connection.closed

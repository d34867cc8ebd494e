"""Recovery reads only the missed part of the log, with the same result as reading all of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from trunkline_ingress.application.recovery import recover
from trunkline_ingress.application.session import Session
from trunkline_ingress.core.identity import Identity
from trunkline_protocols.frames import DurableFrame
from trunkline_protocols.ids import Instance

from tests.ingress.conversation_simulator import C, ConversationSimulator, SimulatedStreams, delayed_scripts, simulate

ADA = Identity(conversation=C, customer="ada", tenant="default", region="local", channel="web", locale="en")


class Client:
    """A client with its session on the streams of a simulator."""

    def __init__(self, simulator: ConversationSimulator) -> None:
        self.streams = SimulatedStreams(simulator)
        self.frames: list[dict[str, Any]] = []
        self.session = Session(
            ADA,
            self.streams.ports(),
            ingress=Instance("ingress-2"),
            send=self._send,
            now=lambda: 1.0,
            max_queued_frames=8,
        )

    async def _send(self, raw: bytes) -> None:
        self.frames.append(json.loads(raw))


def answered(turns: int) -> ConversationSimulator:
    """Return a conversation of `turns` turns: their frames have the numbers 2 to 2 * turns + 1."""
    return simulate(["message", "answer"] * turns)


@given(delayed_scripts)
def test_missed_frames_equal_those_of_the_whole_log(script: list[str]) -> None:
    """For every `last_seq` that a client may have."""
    simulator = simulate(script, delayed=True)
    whole, frames = simulator.replay()

    async def check_every_last_seq() -> None:
        streams = SimulatedStreams(simulator)
        for last_seq in range(whole.last_seq + 2):
            ledger, missed = await recover(streams, streams, "local", C, last_seq=last_seq)
            assert missed == [frame for frame in frames if frame.seq > last_seq], last_seq
            facts = ("last_seq", "last_commit", "last_inbox", "unanswered", "closed")
            assert [getattr(ledger, fact) for fact in facts] == [getattr(whole, fact) for fact in facts], last_seq

    asyncio.run(check_every_last_seq())


async def _missed(streams: SimulatedStreams, last_seq: int) -> list[DurableFrame]:
    return (await recover(streams, streams, "local", C, last_seq=last_seq))[1]


@pytest.mark.parametrize(
    ("missed", "reads"),
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
async def test_reads_as_much_of_the_log_as_was_missed(missed: int, reads: list[str]) -> None:
    """One request if nothing was missed, one read of the whole log if everything was."""
    simulator = answered(1_000)
    streams = SimulatedStreams(simulator)
    frames = await _missed(streams, 2_001 - missed)
    assert frames == [frame for frame in simulator.sent if frame.seq > 2_001 - missed]
    assert streams.reads == reads


async def test_turn_in_progress_is_followed_back_to_a_commit_that_settles() -> None:
    """Without it the inbox would be read from its beginning."""
    simulator = simulate(["message", "answer", "message", "answer", "message", "hand_off", "hand_off"])
    streams = SimulatedStreams(simulator)
    assert await _missed(streams, simulator.ledger.last_seq) == []
    assert streams.reads == ["last", "one", "one"]


async def test_repeat_of_an_old_message_is_accepted_with_its_first_number() -> None:
    """Even if the resume did not read that far back; the message is stored once."""
    simulator = answered(50)
    client = Client(simulator)
    assert await client.session.restore(simulator.ledger.last_seq) == []
    assert "all" not in client.streams.reads
    await client.session.accept_message("m1", "?")
    await client.session.accept_message("m50", "?")
    assert [(frame["id"], frame["seq"]) for frame in client.frames] == [("m1", 2), ("m50", 100)]
    assert len(simulator.inbox) == 50


async def test_next_message_after_a_resume_gets_the_next_number() -> None:
    """After all numbers of the unread part of the log."""
    simulator = answered(50)
    client = Client(simulator)
    await client.session.restore(simulator.ledger.last_seq)
    await client.session.accept_message("new", "?")
    await client.session.accept_message("new", "?")
    await client.session.accept_message("newer", "?")
    assert [(frame["id"], frame["seq"]) for frame in client.frames] == [("new", 102), ("new", 102), ("newer", 103)]
    assert len(simulator.inbox) == 52
    assert "all" not in client.streams.reads


async def test_false_positive_of_the_id_filter_is_accepted_as_new() -> None:
    """The filter has a fixed size: after many messages it matches new ids, and the log is read once."""
    simulator = answered(2_000)
    client = Client(simulator)
    await client.session.restore(simulator.ledger.last_seq)
    for number in range(20):
        await client.session.accept_message(f"new{number}", "?")
    assert [frame["seq"] for frame in client.frames] == list(range(4_002, 4_022))
    assert client.streams.reads == ["last", "all"], "once"


async def test_number_that_was_never_assigned_is_not_recovered() -> None:
    """A client with such a `last_seq` belongs to another conversation."""
    simulator = answered(50)
    client = Client(simulator)
    assert await client.session.restore(simulator.ledger.last_seq + 1) is None


async def test_closed_conversation_stays_closed_if_a_later_message_was_answered() -> None:
    """The message was sent before `closed` arrived, and its answer refers to that."""
    simulator = simulate(["message", "answer", "close", "message", "answer", "message", "answer"])
    client = Client(simulator)
    await client.session.restore(simulator.ledger.last_seq)
    assert client.streams.reads == ["last"]
    assert client.session.closed

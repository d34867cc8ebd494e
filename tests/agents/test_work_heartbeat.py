"""Work heartbeats: one message per interval and recipient, and claims of turns that are not answered at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from trunkline_agents.application.work_heartbeat import CLAIM_INTERVAL_S, WorkHeartbeat
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols.ids import Instance
from trunkline_protocols.turn import AgentHeartbeat, AgentMessage

from tests.agents.builders import make_request


class Sink:
    """Collects messages; the first `failures` of them fail."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[tuple[Instance, AgentHeartbeat]] = []
        self._failures = failures

    async def report(self, recipient: Instance, message: AgentMessage) -> None:
        if self._failures:
            self._failures -= 1
            raise BusUnavailableError("away")
        assert isinstance(message, AgentHeartbeat)
        self.sent.append((recipient, message))


@asynccontextmanager
async def beating(sink: Sink, interval_s: float) -> AsyncIterator[WorkHeartbeat]:
    """Run the heartbeats of a process."""
    heartbeat = WorkHeartbeat(sink, interval_s)
    running = asyncio.ensure_future(heartbeat.run())
    try:
        yield heartbeat
    finally:
        running.cancel()


async def test_turn_that_is_answered_at_once_is_not_claimed() -> None:
    """Its result is the only message."""
    sink = Sink()
    async with beating(sink, 0.25) as heartbeat:
        with heartbeat.working_on(msgspec.structs.replace(make_request("hello"), dispatched_at=time.time())):
            await asyncio.sleep(0)
        await asyncio.sleep(3 * CLAIM_INTERVAL_S)
    assert sink.sent == []


async def test_turn_that_waited_long_is_claimed_at_once() -> None:
    """The conversation process is about to look whether it was lost."""
    sink = Sink()
    request = msgspec.structs.replace(make_request("hello"), dispatched_at=time.time() - 1)
    async with beating(sink, 0.25) as heartbeat:
        await asyncio.sleep(0)
        with heartbeat.working_on(request):
            for _ in range(5):
                await asyncio.sleep(0)
            assert [message.claimed for _, message in sink.sent] == [[request.ref]]


async def test_turns_are_claimed_once_and_reported_together() -> None:
    """One message per recipient has all of its turns, and the first one claims them."""
    sink = Sink()
    requests = [make_request("hello", turn=f"c1-{number}") for number in range(3)]
    async with beating(sink, 0.25) as heartbeat:
        with heartbeat.working_on(requests[0]), heartbeat.working_on(requests[1]), heartbeat.working_on(requests[2]):
            async with asyncio.timeout(10):
                while len(sink.sent) < 3:
                    await asyncio.sleep(0.01)
    (recipient, first), *later = sink.sent
    assert recipient == requests[0].reply_to
    assert first.claimed == [request.ref for request in requests]
    assert first.turns == [request.ref.turn for request in requests]
    assert all(not message.claimed and message.turns == first.turns for _, message in later)


async def test_claim_that_could_not_be_sent_is_sent_again() -> None:
    """Else the conversation process would take the turn for unclaimed."""
    sink = Sink(failures=1)
    request = make_request("hello")
    async with beating(sink, 0.25) as heartbeat:
        with heartbeat.working_on(request):
            async with asyncio.timeout(10):
                while not sink.sent:
                    await asyncio.sleep(0.01)
    assert sink.sent[0][1].claimed == [request.ref]

"""The escalation queue: one suite for the fake and for KV DESK on a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from trunkline_chassis.bus import Bus
from trunkline_conversation.adapters.kv_escalation_queue import KvEscalationQueue
from trunkline_conversation.ports import EscalationQueue
from trunkline_protocols.escalation import Escalation, EscalationWaiting
from trunkline_protocols.ids import ConversationId

from tests.conversation.actor_harness import FakeEscalationQueue

CONVERSATION = ConversationId("cdesk")


@pytest.fixture(params=["fake", "kv"])
async def queue(request: pytest.FixtureRequest, bus: Bus) -> AsyncIterator[EscalationQueue]:
    """Yield each implementation of the port."""
    if request.param == "fake":
        yield FakeEscalationQueue()
        return
    queue = KvEscalationQueue(bus, time.time, "local")
    await queue.start()
    yield queue
    await queue.remove(CONVERSATION)


def entry(due_at: float) -> EscalationWaiting:
    escalation = Escalation(
        level="person", urgency="normal", reason="r", summary="s", since=1.0, due_at=due_at, from_="billing"
    )
    return EscalationWaiting(
        conversation=CONVERSATION, region="local", tenant="default", customer="ada", escalation=escalation
    )


async def until_entries(queue: EscalationQueue, expected: list[EscalationWaiting]) -> None:
    async with asyncio.timeout(10):
        while list(queue.entries()) != expected:
            await asyncio.sleep(0.01)


async def test_entry_is_put_replaced_and_removed(queue: EscalationQueue) -> None:
    """Every operation is idempotent, because a redelivered message repeats it."""
    for due_at in (10.0, 10.0, 20.0):
        await queue.put(entry(due_at))
        await until_entries(queue, [entry(due_at)])
    for _ in range(2):
        await queue.remove(CONVERSATION)
        await until_entries(queue, [])
    await queue.put(entry(30.0))
    await until_entries(queue, [entry(30.0)])


async def test_value_that_returns_is_written_again(queue: EscalationQueue) -> None:
    """A customer leaves and is back: the entry is as it was, and that is no repeated delivery."""
    here = entry(10.0)
    for expected in (here, msgspec.structs.replace(here, gone_since=5.0), here):
        await queue.put(expected)
        await until_entries(queue, [expected])
        assert queue.entry(CONVERSATION) == expected

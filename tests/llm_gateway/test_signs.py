"""The gateway's signs of life: a text that takes long to write is waited for, and asked for once."""

from __future__ import annotations

import asyncio
import secrets

from trunkline_chassis.bus import Bus
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.rpc import Responder
from trunkline_chassis.watched_requests import HEARTBEAT_INTERVAL_S, HEARTBEAT_TIMEOUT_S, WatchedRequester
from trunkline_llm_gateway.handlers import serve
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import CancelCompletion, Complete, Completed, CompletionReply


class SlowWriter:
    """Takes longer than an requester waits in silence."""

    def __init__(self) -> None:
        self.orders = 0

    async def complete(self, request: Complete) -> CompletionReply:
        self.orders += 1
        await asyncio.sleep(HEARTBEAT_TIMEOUT_S + 2 * HEARTBEAT_INTERVAL_S)
        return Completed(text="at last", provider="slow", model="")

    def cancel(self, message: CancelCompletion) -> None:
        raise AssertionError(f"somebody waits for it: {message}")


async def test_text_that_takes_longer_than_the_silence_is_waited_for(bus: Bus) -> None:
    """The door says that it is worked on."""
    region, writer = f"r{secrets.token_hex(4)}", SlowWriter()
    async with asyncio.TaskGroup() as tasks:
        responder = Responder(bus, "llm_gateway", RecentLatency(), tasks)
        await serve(bus, region, writer, responder)
        order = Complete(instructions="", question="anything")
        raw = await WatchedRequester(bus).request(subjects.complete(region), codec.encode(order), timeout_s=30)
        await responder.close(5)
    reply = codec.completion_reply.decode(raw)
    assert isinstance(reply, Completed)
    assert (reply.text, writer.orders) == ("at last", 1)

"""Heartbeats of the gateway: a completion that takes long is awaited and requested once."""

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

from tests.support.borders import ListedBorders


class SlowEndpoint:
    """Takes longer than the heartbeat timeout of a caller."""

    def __init__(self) -> None:
        self.requests = 0

    async def complete(self, request: Complete) -> CompletionReply:
        self.requests += 1
        await asyncio.sleep(HEARTBEAT_TIMEOUT_S + 2 * HEARTBEAT_INTERVAL_S)
        return Completed(text="at last", provider="slow", model="")

    def cancel(self, message: CancelCompletion) -> None:
        raise AssertionError(f"a caller still waits: {message}")


async def test_completion_longer_than_the_heartbeat_timeout_is_awaited(bus: Bus) -> None:
    """The responder sends heartbeats while the request is processed."""
    region, endpoint = f"r{secrets.token_hex(4)}", SlowEndpoint()
    async with asyncio.TaskGroup() as tasks:
        responder = Responder(bus, "llm_gateway", RecentLatency(), tasks)
        await serve(bus, ListedBorders(region), endpoint, responder)
        request = Complete(instructions="", text="anything")
        raw = await WatchedRequester(bus).request(subjects.complete(region), codec.encode(request), timeout_s=30)
        await responder.close(5)
    reply = codec.completion_reply.decode(raw)
    assert isinstance(reply, Completed)
    assert (reply.text, endpoint.requests) == ("at last", 1)

"""The gateway's door on the bus: orders in, replies and deltas out, over the process' one connection.

Plain nats-py and not FastStream: a completion is on every turn's path, and here the difference is a quarter of what the
gateway costs (ADR 0005, bench/llm_gateway).
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.watched_requests import WORKING, RequestHeartbeats
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply
from trunkline_protocols.knowledge import Refused

_log: Final = structlog.get_logger(__name__)
_QUEUE: Final = "llm_gateway"


class Writer(Protocol):
    """Has orders written."""

    async def complete(self, request: Complete) -> CompletionReply:
        """Write the answer."""
        ...

    def cancel(self, message: CancelCompletion) -> None:
        """Stop what nobody waits for any more."""
        ...


class CompletionEndpoint:
    """Takes orders of one region; several gateways share them by queue group, and each hears of every cancellation."""

    def __init__(self, bus: Bus, region: str, writer: Writer, latency: RecentLatency, tasks: asyncio.TaskGroup) -> None:
        """`tasks` is where the orders are worked on."""
        self._bus = bus
        self._region = region
        self._writer = writer
        self._latency = latency
        self._tasks = tasks
        self._requests: Subscription | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._life = RequestHeartbeats(self._send_sign)
        self._signs: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """Orders that are worked on."""
        return len(self._running)

    async def open(self) -> None:
        """Listen."""
        self._signs = self._tasks.create_task(self._life.run())
        await self._bus.subscribe(subjects.cancel_completion(self._region), self._on_cancel)
        self._requests = await self._bus.subscribe(subjects.complete(self._region), self._on_request, queue=_QUEUE)

    async def close(self, timeout_s: float) -> None:
        """Take no more orders and finish those that are worked on, as far as the time allows."""
        if self._requests is not None:
            await self._requests.unsubscribe()
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        for task in self._running:
            task.cancel()
        if self._signs is not None:
            self._signs.cancel()

    async def _on_request(self, message: Msg) -> None:
        task = self._tasks.create_task(self._answer(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, message: Msg) -> None:
        started = time.perf_counter()
        with self._life.working_on(message.headers, message.reply):
            reply = await self._reply(message.data)
        try:
            await self._bus.publish(message.reply, codec.encode(reply))
        except BusError as error:
            _log.warning("llm.unanswered", error=str(error))
        self._latency.add((time.perf_counter() - started) * 1000)

    async def _send_sign(self, reply: str) -> None:
        await self._bus.client.publish(reply, b"", headers={WORKING: "1"})

    async def _reply(self, payload: bytes) -> CompletionReply:
        try:
            request = codec.complete.decode(payload)
        except codec.DecodeError as error:
            return Refused(code="bad_request", message=str(error), retryable=False)
        try:
            return await self._writer.complete(request)
        except Exception as error:
            _log.exception("llm.failed_inside")
            return Refused(code="internal", message=f"{type(error).__name__}: {error}", retryable=True)

    async def _on_cancel(self, message: Msg) -> None:
        try:
            self._writer.cancel(codec.cancel_completion.decode(message.data))
        except codec.DecodeError as error:
            _log.warning("llm.cancel_unreadable", error=str(error))

"""Request and reply over core NATS: the one responder of all services.

Every request is handled in its own task and gets a reply: an undecodable request, a failing handler and an overloaded
process reply `Refused`, so that no caller waits for a reply that cannot come. Callers of watched requests
(`watched_requests`) receive heartbeats while their request is processed.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

import nats.errors
import structlog
from trunkline_protocols import codec
from trunkline_protocols.refusal import Refused

from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.errors import BusError, MessageTooLargeError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.tracing.span_types import SERVE_REQUEST
from trunkline_chassis.tracing.tracer import continue_trace, received_traceparent
from trunkline_chassis.watched_requests import HEARTBEAT_HEADER, RequestHeartbeats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from trunkline_protocols.wire import Wire

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.latency import RecentLatency
    from trunkline_chassis.tracing.span_types import SpanType

_log: Final = structlog.get_logger(__name__)
_MAX_IN_FLIGHT: Final = 2_000
_DRAIN_TIMEOUT_S: Final = 2.0

Q = TypeVar("Q")


class Responder:
    """Serves the requests of one process; the processes of a service share subjects as a queue group."""

    def __init__(
        self,
        bus: Bus,
        queue: str,
        latency: RecentLatency,
        tasks: asyncio.TaskGroup,
        *,
        max_in_flight: int = _MAX_IN_FLIGHT,
    ) -> None:
        """`queue` is the queue group; requests beyond `max_in_flight` are refused as overloaded."""
        self._bus = bus
        self._queue = queue
        self._latency = latency
        self._tasks = tasks
        self._max_in_flight = max_in_flight
        self._heartbeats = RequestHeartbeats(self._send_heartbeat)
        self._heartbeat_task: asyncio.Task[None] | None = None
        self._subscriptions: list[Subscription] = []
        self._in_flight: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """Number of requests being processed."""
        return len(self._in_flight)

    async def serve(
        self,
        subject: str,
        decoder: codec.Decoder[Q],
        handle: Callable[[Q], Awaitable[Wire]],
        *,
        span: SpanType = SERVE_REQUEST,
        max_concurrent: int = _MAX_IN_FLIGHT,
    ) -> None:
        """Reply to requests on `subject` with the result of `handle`, running at most `max_concurrent` at a time.

        `span` is recorded for a request of a traced turn, from its arrival to its result.
        """
        if self._heartbeat_task is None:
            self._heartbeat_task = self._tasks.create_task(self._heartbeats.run())
        permits = asyncio.Semaphore(max_concurrent)

        async def process(message: Msg) -> None:
            with (
                self._heartbeats.during(message.headers, message.reply),
                continue_trace(span, received_traceparent(message.headers)) as recorded,
            ):
                async with permits:
                    reply = await self._reply_to(message, decoder, handle)
                if isinstance(reply, Refused):
                    recorded.fail(reply.code)
            try:
                await self._publish(message.reply, reply)
            except MessageTooLargeError as error:
                await self._publish(message.reply, Refused(code="too_large", message=str(error), retryable=False))

        async def on_request(message: Msg) -> None:
            if len(self._in_flight) >= self._max_in_flight:
                await self._publish(
                    message.reply, Refused(code="overloaded", message="too many requests in flight", retryable=True)
                )
                return
            task = self._tasks.create_task(process(message))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

        self._subscriptions.append(await self._bus.subscribe(subject, on_request, queue=self._queue))
        # The subscription takes effect before the first request can be sent.
        await self._bus.flush()

    async def close(self, timeout_s: float) -> None:
        """Accept no more requests, finish those in flight within `timeout_s` seconds, cancel the rest."""
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            try:
                async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                    await self._bus.drain(subscription)
            except (nats.errors.Error, TimeoutError) as error:
                _log.warning("rpc.drain_failed", subject=subscription.subject, error=repr(error))
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=timeout_s)
        await cancel_and_wait([*self._in_flight, *([self._heartbeat_task] if self._heartbeat_task is not None else [])])

    async def _reply_to(self, message: Msg, decoder: codec.Decoder[Q], handle: Callable[[Q], Awaitable[Wire]]) -> Wire:
        started = time.perf_counter()
        try:
            return await handle(decoder.decode(message.data))
        except codec.DecodeError as error:
            return Refused(code="bad_request", message=str(error), retryable=False)
        except Exception as error:  # whatever a handler raises, the caller gets a reply
            _log.exception("rpc.handler_failed", subject=message.subject)
            return Refused(code="internal", message=reason_of(error), retryable=True)
        finally:
            self._latency.add((time.perf_counter() - started) * 1000)

    async def _publish(self, reply_to: str, reply: Wire) -> None:
        if not reply_to:
            return
        try:
            await self._bus.publish(reply_to, codec.encode(reply))
        except MessageTooLargeError:
            raise
        except BusError as error:
            _log.warning("rpc.reply_failed", error=str(error))

    async def _send_heartbeat(self, subject: str, payload: bytes) -> None:
        await self._bus.client.publish(subject, payload, headers={HEARTBEAT_HEADER: "1"})

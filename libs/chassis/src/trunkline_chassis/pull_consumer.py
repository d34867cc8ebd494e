"""Overlapping pull requests to a shared consumer: one inbox, the next request sent before the last one is used up.

Three to nine times cheaper than `fetch` of nats-py. Requests are bounded by the free capacity, so that queued messages
stay in the stream, where another process can receive them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import nats.errors
import structlog

from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.delivery import Delivery, Done, Outcome, Reject, RetryLater, settle
from trunkline_chassis.errors import BusError, MessageTooLargeError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.ticks import next_tick

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

_REQUEST_EXPIRES_S: Final = 30.0
_HEARTBEAT_INTERVAL_S: Final = 2.0
_HEARTBEAT_TIMEOUT_S: Final = 5.0
_REPEAT_INTERVAL_S: Final = 3.0
"""Of requests that remain unanswered: a server that has the consumer sends a heartbeat sooner."""
_CHECK_INTERVAL_S: Final = 0.25
_MAX_FAILED_DELIVERIES: Final = 3
"""A message whose handler raised in this many deliveries is rejected."""
_STATUS_HEARTBEAT: Final = "100"
_STATUS_REQUEST_DONE: Final = frozenset({"404", "408"})
"""No messages for a request that must not wait, or the request expired."""
_NS: Final = 1_000_000_000


def is_missing(status: str, description: str) -> bool:
    """Return whether the status of a pull request shows that its consumer does not exist."""
    return status == "503" or (status == "409" and "Deleted" in description)


class PullConsumer:
    """Feeds one handler from one durable consumer, with at most `capacity` messages in flight."""

    def __init__(
        self,
        bus: Bus,
        *,
        stream: str,
        consumer: str,
        capacity: int,
        handle: Callable[[Delivery], Awaitable[Outcome]],
        ack_first: bool = False,
    ) -> None:
        """`handle` must not raise for a bad message but return `Reject`.

        `ack_first`: acknowledge before handling, for work whose sender monitors it and republishes it if it is lost.
        """
        self._bus = bus
        self._stream = stream
        self._consumer = consumer
        self._capacity = capacity
        self._handle = handle
        self._ack_first = ack_first
        self._requested = 0
        self._in_flight = 0
        self._refusals = 0
        self._last_received_at = 0.0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._inbox = ""
        self._subscription: Subscription | None = None
        self.pending = 0
        """Messages queued in the consumer, according to the last delivery."""

    async def run(self) -> None:
        """Pull until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:

            async def on_message(message: Msg) -> None:
                self._last_received_at = loop.time()
                if message.headers is not None and "Status" in message.headers:
                    if not self._on_status(message.headers):
                        return
                elif message.reply:
                    delivery = Delivery.from_message(message)
                    self._requested = max(0, self._requested - 1)
                    self._refusals = 0
                    self._in_flight += 1
                    self._idle.clear()
                    tasks.create_task(self._process(delivery))
                await self._top_up()

            self._inbox = self._bus.client.new_inbox()
            self._last_received_at = loop.time()
            self._bus.on_reconnect.append(self._forget_requests)
            self._subscription = await self._bus.subscribe(self._inbox, on_message)
            try:
                await self._pull_until_cancelled(loop)
            finally:
                self._bus.on_reconnect.remove(self._forget_requests)
                if not self._draining:
                    await self._subscription.unsubscribe()

    async def _pull_until_cancelled(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            if loop.time() - self._last_received_at > _HEARTBEAT_TIMEOUT_S:
                # The server sends heartbeats for every open request: without them the request was lost.
                self._forget_requests()
                self._last_received_at = loop.time() - _HEARTBEAT_TIMEOUT_S + _REPEAT_INTERVAL_S
            await self._top_up()
            await next_tick(_CHECK_INTERVAL_S)

    def _forget_requests(self) -> None:
        """Let the next top-up send new requests: those of a broken connection are unknown to the server."""
        self._requested = 0

    async def drain(self, timeout_s: float) -> None:
        """Receive no more messages and wait up to `timeout_s` for those in flight.

        A request that is still open would bring further ones, which the end of the process would cut off.
        """
        self._draining = True
        if self._subscription is not None:
            try:
                await self._bus.drain(self._subscription)
            except (nats.errors.Error, TimeoutError) as error:
                _log.warning("consumer.unsubscribe_failed", consumer=self._consumer, error=reason_of(error))
        if not await wait_for_event(self._idle, timeout_s=timeout_s):
            _log.warning("consumer.drain_timed_out", consumer=self._consumer, in_flight=self._in_flight)

    async def _top_up(self) -> None:
        """Request as many messages as there is free capacity, once half of the last request is used up."""
        room = self._capacity - self._in_flight - self._requested
        if self._draining or room <= 0 or self._requested > self._capacity // 2:
            return
        self._requested += room
        request = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (
            room,
            _REQUEST_EXPIRES_S * _NS,
            _HEARTBEAT_INTERVAL_S * _NS,
        )
        try:
            await self._bus.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}", request, reply=self._inbox
            )
        except Exception as error:  # whatever the client raises, the pull loop retries
            self._requested = 0
            _log.warning("consumer.request_failed", consumer=self._consumer, error=reason_of(error))

    def _on_status(self, headers: dict[str, str]) -> bool:
        """Account for a status message of the server; return whether to send the next request at once.

        If the consumer has no leader, a request is refused immediately, so the next one is left to the pull loop.
        """
        status = headers["Status"]
        if status == _STATUS_HEARTBEAT:
            return True
        unused = headers.get("Nats-Pending-Messages")
        self._requested = max(0, self._requested - int(unused)) if unused is not None else 0
        if status in _STATUS_REQUEST_DONE:
            return True
        self._refusals += 1
        if is_missing(status, headers.get("Description", "")):
            self._bus.report_missing()
        if self._refusals == 1:
            reason = headers.get("Description")
            _log.warning("consumer.request_refused", consumer=self._consumer, status=status, reason=reason)
        return False

    async def _process(self, delivery: Delivery) -> None:
        self.pending = delivery.pending
        try:
            if self._ack_first:
                await settle(self._bus, delivery, Done())
            outcome = await self._handle(delivery)
        except MessageTooLargeError as error:
            outcome = Reject(str(error))
        except BusError as error:
            outcome = RetryLater(str(error))
        except Exception as error:  # a failing handler must not end the consumer: the message is retried
            _log.exception("consumer.handler_failed", subject=delivery.subject)
            exhausted = delivery.deliveries >= _MAX_FAILED_DELIVERIES
            outcome = Reject(reason_of(error)) if exhausted else RetryLater(reason_of(error))
        try:
            if not self._ack_first or isinstance(outcome, Reject):
                await settle(self._bus, delivery, outcome)
        except BusError as error:
            # Unsettled: the server redelivers it after ack_wait.
            _log.warning("consumer.settle_failed", subject=delivery.subject, error=str(error))
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()
            await self._top_up()

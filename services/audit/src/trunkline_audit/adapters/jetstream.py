"""Feeds on JetStream: in order, without gaps, one pull request at a time.

A feed that was quiet waits for one message. Then it collects: it pauses, and requests all that has arrived in the
meantime, so that a message costs this process and the server no wake-up of its own; until a pause in which none came.

Opening a feed resets its consumer to the first unacknowledged message; the consumer then numbers its deliveries from 1.
A gap in these numbers means that a delivery was lost: the feed breaks, and reopening it delivers everything in order. A
reconnection breaks the feed too, since it may lose deliveries without a later number that reveals the gap.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import nats.errors
from nats.aio.msg import Msg
from trunkline_chassis.bus import MESSAGE_NOT_FOUND, Bus
from trunkline_chassis.errors import BusRefusedError
from trunkline_protocols.streams import ConsumerSpec

from trunkline_audit.core.records import AuditedMessage
from trunkline_audit.ports import Backlog, FeedBrokenError, FeedItem

_REQUEST_EXPIRES_S: Final = 2.0
_REQUEST_TIMEOUT_S: Final = _REQUEST_EXPIRES_S + 3.0
"""A pull request without any response within this time was lost."""
_MAX_BYTES: Final = 64 * 1024 * 1024
"""Per pull request; no server allows a larger message."""
_NS: Final = 1_000_000_000


class JetStreamFeeds:
    """The audited streams and their consumers, which provisioning has created."""

    def __init__(self, bus: Bus, consumers: Sequence[ConsumerSpec], *, batch: int, wait_s: float) -> None:
        """`batch` is the maximum of messages per batch, `wait_s` the pause in seconds in which one collects."""
        self._bus = bus
        self._consumers = {consumer.stream: consumer for consumer in consumers}
        self._batch = batch
        self._wait_s = wait_s

    @property
    def streams(self) -> Sequence[str]:
        """Their names."""
        return list(self._consumers)

    @asynccontextmanager
    async def open(self, stream: str, *, position: int) -> AsyncIterator[JetStreamFeed]:
        """Open a feed at the first unacknowledged message, or after `position` if that is earlier.

        The archive is behind the acknowledgements if it was restored from a backup or created again.
        """
        consumer = self._consumers[stream]
        state = await self._bus.api(f"CONSUMER.INFO.{stream}.{consumer.name}")
        feed = JetStreamFeed(
            self._bus,
            consumer,
            batch=self._batch,
            wait_s=self._wait_s,
            ack_all=state["config"]["ack_policy"] == "all",
        )
        subscription = await self._bus.subscribe(feed.inbox, feed.on_message)
        self._bus.on_reconnect.append(feed.on_reconnect)
        try:
            is_behind = position < state["ack_floor"]["stream_seq"]
            request = {"seq": position + 1} if is_behind else None
            await self._bus.api(f"CONSUMER.RESET.{stream}.{consumer.name}", request)
            yield feed
        finally:
            self._bus.on_reconnect.remove(feed.on_reconnect)
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def backlog(self, stream: str) -> Backlog:
        """Return the number of unacknowledged messages and the time of the oldest."""
        state = await self._bus.api(f"CONSUMER.INFO.{stream}.{self._consumers[stream].name}")
        messages: int = state["num_pending"] + state["num_ack_pending"]
        oldest = await self._stored_at(stream, state["ack_floor"]["stream_seq"] + 1) if messages else None
        return Backlog(messages, oldest)

    async def _stored_at(self, stream: str, sequence: int) -> datetime | None:
        """Return the time of the first message at or after `sequence`."""
        query: dict[str, Any] = {"seq": sequence, "next_by_subj": ">"}
        try:
            reply = await self._bus.api(f"STREAM.MSG.GET.{stream}", query)
        except BusRefusedError as error:
            if error.code == MESSAGE_NOT_FOUND:
                return None
            raise
        return datetime.fromisoformat(reply["message"]["time"])


class JetStreamFeed:
    """One open feed, which buffers one batch."""

    def __init__(self, bus: Bus, consumer: ConsumerSpec, *, batch: int, wait_s: float, ack_all: bool) -> None:
        """Use `JetStreamFeeds.open` to create one; `ack_all` is the policy that its consumer was created with."""
        self.inbox = bus.client.new_inbox()
        self._bus = bus
        self._address = f"{consumer.stream}.{consumer.name}"
        self._batch = batch
        self._wait_s = wait_s
        self._ack_all = ack_all
        self._buffer: list[FeedItem] = []
        self._delivered = 0
        self._requested = 0
        self._is_busy = False
        self._is_behind = False
        self._draining = False
        self._broken = ""
        self._changed = asyncio.Event()

    async def receive(self) -> Sequence[FeedItem]:
        """Wait for messages and return them, oldest first; an empty batch once the feed is drained."""
        while not self._buffer:
            if self._draining:
                return ()
            if not self._is_busy:
                await self._wait_for_one()
            if self._is_busy or self._buffer:
                await self._collect()
            self._is_busy = bool(self._buffer)
        received, self._buffer = self._buffer, []
        return received

    async def acknowledge(self, items: Sequence[FeedItem]) -> None:
        """Acknowledge all; if an acknowledgement is lost, the redelivery changes nothing."""
        for item in items[-1:] if self._ack_all else items:
            await self._bus.publish(item.ack_subject, b"+ACK")

    async def _wait_for_one(self) -> None:
        await self._request(b'{"batch":1,"expires":%d,"max_bytes":%d}' % (_REQUEST_EXPIRES_S * _NS, _MAX_BYTES), 1)

    async def _collect(self) -> None:
        """Pause unless the last batch was full, then request what has arrived: the server answers at once."""
        if not self._is_behind:
            await self._wait_for(lambda: False, timeout_s=self._wait_s)
        room = self._batch - len(self._buffer)
        if room and not self._draining:
            await self._request(b'{"batch":%d,"no_wait":true,"max_bytes":%d}' % (room, _MAX_BYTES), room)
        self._is_behind = len(self._buffer) >= self._batch

    def drain(self) -> None:
        """Request no more messages; the delivered ones can still be received."""
        self._draining = True
        self._changed.set()

    def on_reconnect(self) -> None:
        """Break the feed: deliveries in transit are lost."""
        self._break("the connection was lost")

    async def on_message(self, message: Msg) -> None:
        """Process a delivery or the end of a pull request."""
        headers = message.headers
        if headers is not None and "Status" in headers:
            self._on_status(headers["Status"], headers.get("Description", ""))
            return
        metadata = message.metadata
        if metadata.sequence.consumer != self._delivered + 1:
            self._break(f"delivery {self._delivered + 1} was lost, received {metadata.sequence.consumer}")
            return
        self._delivered += 1
        self._requested = max(0, self._requested - 1)
        stored = AuditedMessage(
            stream=metadata.stream,
            sequence=metadata.sequence.stream,
            at=metadata.timestamp,
            subject=message.subject,
            payload=message.data,
        )
        self._buffer.append(FeedItem(stored, message.reply))
        if not self._requested:
            self._changed.set()

    async def _request(self, request: bytes, batch: int) -> None:
        """Send a pull request and wait until it has ended; one without any end within the timeout was lost."""
        self._requested = batch
        try:
            await self._bus.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._address}", request, reply=self.inbox)
        except nats.errors.Error as error:
            raise FeedBrokenError(f"{self._address}: {error}") from error
        await self._wait_for(lambda: not self._requested, timeout_s=_REQUEST_TIMEOUT_S)
        self._requested = 0

    async def _wait_for(self, condition: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until a condition holds, the feed is drained, or a timeout; raises `FeedBrokenError` if it breaks."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (self._broken or self._draining or condition()):
                    self._changed.clear()
                    await self._changed.wait()
        if self._broken:
            raise FeedBrokenError(f"{self._address}: {self._broken}")

    def _on_status(self, status: str, description: str) -> None:
        if status == "409" and description == "Batch Completed":
            return  # the deliveries are counted, and the next request may be in flight already
        if status in {"404", "408"} or (status == "409" and "MaxBytes" in description):
            self._requested = 0
            self._changed.set()
        else:
            self._break(f"{status} {description}".strip())

    def _break(self, reason: str) -> None:
        self._broken = self._broken or reason
        self._changed.set()

"""Feeds on JetStream: in order, without gaps, one pull request at a time.

Opening a feed resets its consumer to the first unacknowledged message, and the consumer then counts its deliveries
from 1. A delivery with another number means that one was lost on its way: the feed breaks, and opening it anew brings
everything in order. So does a reconnection, where what was on its way is lost without a later number to show it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import nats.errors
from nats.aio.msg import Msg
from trunkline_chassis.bus import MESSAGE_NOT_FOUND, Bus
from trunkline_chassis.errors import BusRefusedError
from trunkline_protocols.streams import ConsumerSpec

from trunkline_audit.core.records import Message
from trunkline_audit.ports import Arrival, Backlog, FeedBrokenError

_EXPIRES_S: Final = 2.0
_LOST_S: Final = _EXPIRES_S + 3.0
"""A request without any answer for so long is lost."""
_MAX_BYTES: Final = 64 * 1024 * 1024
"""Of one request; no message can be larger on any server."""
_NS: Final = 1_000_000_000


class JetStreamFeeds:
    """The audited streams and their consumers, which the provision step has made."""

    def __init__(self, bus: Bus, consumers: Sequence[ConsumerSpec], *, batch: int, wait_s: float) -> None:
        """`batch` messages at most are taken at once; a batch that is not full waits `wait_s`."""
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
        """Feed one stream from its first unacknowledged message, or from after `position` when that is earlier.

        The archive is behind its acknowledgements when it was restored from a backup, or is a new one.
        """
        consumer = self._consumers[stream]
        feed = JetStreamFeed(self._bus, consumer, batch=self._batch, wait_s=self._wait_s)
        subscription = await self._bus.subscribe(feed.inbox, feed.on_message)
        self._bus.on_reconnect.append(feed.on_reconnect)
        try:
            state = await self._bus.api(f"CONSUMER.INFO.{stream}.{consumer.name}")
            behind = position < state["ack_floor"]["stream_seq"]
            request = {"seq": position + 1} if behind else None
            await self._bus.api(f"CONSUMER.RESET.{stream}.{consumer.name}", request)
            yield feed
        finally:
            self._bus.on_reconnect.remove(feed.on_reconnect)
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def backlog(self, stream: str) -> Backlog:
        """Ask how much of a stream is not acknowledged yet, and since when."""
        state = await self._bus.api(f"CONSUMER.INFO.{stream}.{self._consumers[stream].name}")
        messages: int = state["num_pending"] + state["num_ack_pending"]
        oldest = await self._stored_at(stream, state["ack_floor"]["stream_seq"] + 1) if messages else None
        return Backlog(messages, oldest)

    async def _stored_at(self, stream: str, sequence: int) -> datetime | None:
        """When the first message from `sequence` on was stored."""
        query: dict[str, Any] = {"seq": sequence, "next_by_subj": ">"}
        try:
            reply = await self._bus.api(f"STREAM.MSG.GET.{stream}", query)
        except BusRefusedError as error:
            if error.code == MESSAGE_NOT_FOUND:
                return None
            raise
        return datetime.fromisoformat(reply["message"]["time"])


class JetStreamFeed:
    """One open feed. Holds at most two batches: one that is being written and one that was asked for."""

    def __init__(self, bus: Bus, consumer: ConsumerSpec, *, batch: int, wait_s: float) -> None:
        """Made by `JetStreamFeeds.open`."""
        self.inbox = bus.client.new_inbox()
        self._bus = bus
        self._address = f"{consumer.stream}.{consumer.name}"
        self._batch = batch
        self._wait_s = wait_s
        self._held: deque[Arrival] = deque()
        self._delivered = 0
        self._requested = 0
        self._draining = False
        self._broken = ""
        self._news = asyncio.Event()

    async def take(self) -> Sequence[Arrival]:
        """Wait for messages and return them, oldest first; nothing when the feed is drained."""
        while not self._held:
            if self._draining:
                return ()
            await self._request()
            if not await self._heard(self._has_some, within_s=_LOST_S):
                self._requested = 0
        await self._heard(self._has_enough, within_s=self._wait_s)
        return [self._held.popleft() for _ in range(min(self._batch, len(self._held)))]

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Acknowledge each; one that gets lost is delivered again, and changes nothing."""
        for arrival in arrivals:
            await self._bus.publish(arrival.reply, b"+ACK")

    def drain(self) -> None:
        """Ask for nothing more; what is here can still be taken."""
        self._draining = True
        self._news.set()

    def on_reconnect(self) -> None:
        """Break: what was on its way here is lost."""
        self._break("the connection was lost")

    async def on_message(self, message: Msg) -> None:
        """Take a delivery or the end of a request."""
        headers = message.headers
        if headers is not None and "Status" in headers:
            self._on_status(headers["Status"], headers.get("Description", ""))
            return
        metadata = message.metadata
        if metadata.sequence.consumer != self._delivered + 1:
            self._break(f"delivery {self._delivered + 1} was lost, {metadata.sequence.consumer} came")
            return
        self._delivered += 1
        self._requested = max(0, self._requested - 1)
        stored = Message(
            stream=metadata.stream,
            sequence=metadata.sequence.stream,
            at=metadata.timestamp,
            subject=message.subject,
            payload=message.data,
        )
        self._held.append(Arrival(stored, message.reply))
        if len(self._held) == 1 or self._has_enough():
            self._news.set()

    async def _request(self) -> None:
        if self._requested:
            return
        self._requested = self._batch
        request = b'{"batch":%d,"expires":%d,"max_bytes":%d}' % (self._batch, int(_EXPIRES_S * _NS), _MAX_BYTES)
        try:
            await self._bus.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._address}", request, reply=self.inbox)
        except nats.errors.Error as error:
            raise FeedBrokenError(f"{self._address}: {error}") from error

    def _has_some(self) -> bool:
        return bool(self._held) or not self._requested

    def _has_enough(self) -> bool:
        return len(self._held) >= self._batch or not self._requested

    async def _heard(self, what: Callable[[], bool], *, within_s: float) -> bool:
        """Wait until there is what is waited for, or draining; raise when the feed is broken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not (self._broken or self._draining or what()):
                    self._news.clear()
                    await self._news.wait()
        if self._broken:
            raise FeedBrokenError(f"{self._address}: {self._broken}")
        return self._draining or what()

    def _on_status(self, status: str, description: str) -> None:
        if status == "409" and description == "Batch Completed":
            return  # known by counting, and the next request may be under way already
        if status in {"404", "408"} or (status == "409" and "MaxBytes" in description):
            self._requested = 0
            self._news.set()
        else:
            self._break(f"{status} {description}".strip())

    def _break(self, reason: str) -> None:
        self._broken = self._broken or reason
        self._news.set()

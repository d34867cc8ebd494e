"""Long-running requests with heartbeats, so that the death of a responder is detected within 1.3 s.

A plain request to a dead responder fails only after its whole timeout. A watched request carries a header; its
responder publishes heartbeats (`RequestHeartbeats`) until it replies, and missing heartbeats fail the request.

One heartbeat names all requests of a requester that a responder has in progress, so their number depends on time and
processes, not on requests (ADR 0047). A requester of an earlier version gets one for each request.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import nats.errors
import structlog

from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.tracing.trace_context import TRACEPARENT
from trunkline_chassis.tracing.tracer import traceparent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

WATCHED_HEADER: Final = "Trunkline-Watched"
"""Header of a request whose caller expects heartbeats."""
TOGETHER: Final = "together"
"""Value of that header if one heartbeat may name several requests; any other value: one heartbeat for each."""
HEARTBEAT_HEADER: Final = "Trunkline-Working"
"""Header of a heartbeat."""
HEARTBEAT_INTERVAL_S: Final = 0.4
HEARTBEAT_TIMEOUT_S: Final = 1.3
_CHECK_INTERVAL_S: Final = 0.1
_HEARTBEATS: Final = "heartbeats"
"""Last token of the subject of heartbeats that name several requests, in place of the number of one."""
_NO_RESPONDERS: Final = "503"


class RequestHeartbeats:
    """Heartbeats of a responder to its callers, every 0.4 s while a watched request is in progress."""

    def __init__(self, send: Callable[[str, bytes], Awaitable[None]]) -> None:
        """`send` publishes a payload with the header `HEARTBEAT_HEADER` to a subject."""
        self._send = send
        self._watched: defaultdict[str, set[str]] = defaultdict(set)
        """Numbers of the requests in progress by the subject of their heartbeats; none if that is a reply subject."""

    @contextmanager
    def during(self, headers: Mapping[str, str] | None, reply: str) -> Iterator[None]:
        """Send heartbeats while the block runs, if the request is watched."""
        if not reply or headers is None or WATCHED_HEADER not in headers:
            yield
            return
        subject, number = reply, ""
        if headers[WATCHED_HEADER] == TOGETHER:
            inbox, _, number = reply.rpartition(".")
            subject = f"{inbox}.{_HEARTBEATS}"
        self._watched[subject].add(number)
        try:
            yield
        finally:
            self._watched[subject].discard(number)
            if not self._watched[subject]:
                del self._watched[subject]

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)
            for subject in list(self._watched):
                if subject not in self._watched:
                    continue
                try:
                    await self._send(subject, " ".join(self._watched[subject]).encode())
                except Exception as error:  # whatever the client raises, the next round retries
                    _log.warning("request.heartbeat_failed", error=reason_of(error))
                    break


class _PendingRequest:
    """A request without a reply so far."""

    def __init__(self, subject: str, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.subject = subject
        self.timeout_s = timeout_s
        self.last_heartbeat_at = loop.time()
        self.deadline = self.last_heartbeat_at + timeout_s
        self.reply: asyncio.Future[bytes] = loop.create_future()

    def fail(self, reason: str) -> None:
        if not self.reply.done():
            self.reply.set_exception(BusUnavailableError(reason))

    def check_timeouts(self, now: float) -> None:
        """Fail the request if its deadline has passed or its responder's heartbeats have stopped."""
        if now >= self.deadline:
            self.fail(f"no reply on {self.subject} within {self.timeout_s:g} s")
        elif now >= self.last_heartbeat_at + HEARTBEAT_TIMEOUT_S:
            self.fail(f"responder on {self.subject} lost: no heartbeat for {HEARTBEAT_TIMEOUT_S:g} s")


class WatchedRequester:
    """Sends requests with one subscription for all replies and one timer for all pending requests."""

    def __init__(self, bus: Bus) -> None:
        """Defer the subscription to the first request."""
        self._bus = bus
        self._inbox = ""
        self._numbers = itertools.count()
        self._pending: dict[str, _PendingRequest] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Return the reply; raise `BusUnavailableError` on timeout, without a responder, or if its heartbeats stop."""
        loop = asyncio.get_running_loop()
        if not self._inbox:
            self._inbox = self._bus.client.new_inbox()
            await self._bus.subscribe(f"{self._inbox}.*", self._on_message)
        number = str(next(self._numbers))
        pending = self._pending[number] = _PendingRequest(subject, loop, timeout_s)
        if self._timer is None:
            self._timer = loop.call_later(_CHECK_INTERVAL_S, self._check_timeouts, loop)
        headers = {WATCHED_HEADER: TOGETHER}
        if trace := traceparent():
            headers[TRACEPARENT] = trace
        try:
            await self._bus.client.publish(subject, payload, reply=f"{self._inbox}.{number}", headers=headers)
            return await pending.reply
        except nats.errors.Error as error:
            raise BusUnavailableError(f"cannot publish to {subject}: {error}") from error
        finally:
            del self._pending[number]
            pending.reply.cancel()

    def _check_timeouts(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check all pending requests, and reschedule while there are any."""
        for pending in self._pending.values():
            pending.check_timeouts(loop.time())
        self._timer = loop.call_later(_CHECK_INTERVAL_S, self._check_timeouts, loop) if self._pending else None

    async def _on_message(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        if number == _HEARTBEATS:
            self._on_heartbeats(message.data)
            return
        pending = self._pending.get(number)
        if pending is None or pending.reply.done():
            return
        headers = message.headers or {}
        if HEARTBEAT_HEADER in headers:
            pending.last_heartbeat_at = asyncio.get_running_loop().time()
        elif headers.get("Status") == _NO_RESPONDERS:
            pending.fail(f"no responders on {pending.subject}")
        else:
            pending.reply.set_result(message.data)

    def _on_heartbeats(self, numbers: bytes) -> None:
        """Note the heartbeat of several requests; one that is not pending here changes nothing."""
        now = asyncio.get_running_loop().time()
        for number in numbers.decode("ascii", "replace").split():
            if number in self._pending:
                self._pending[number].last_heartbeat_at = now

"""Questions that may take long: whoever answers says that it works on them, so that its death is noticed at once.

A plain request learns of a dead answerer when its whole time is over. Here the question carries a header, whoever has
it sends signs of life (`RequestHeartbeats`) until it has answered, and silence ends the wait.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import nats.errors
import structlog

from trunkline_chassis.errors import BusUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

WATCHED: Final = "Trunkline-Watched"
"""Header of a question whose requester waits for signs of life."""
WORKING: Final = "Trunkline-Working"
"""Header of a sign of life."""
HEARTBEAT_INTERVAL_S: Final = 0.4
HEARTBEAT_TIMEOUT_S: Final = 1.3
_LOOK_EVERY_S: Final = 0.1
_NO_RESPONDERS: Final = "503"


class RequestHeartbeats:
    """What an answerer sends to those who wait for it: nothing for quick answers, then a sign every 0.4 s."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        """`send` publishes an empty message with the header `WORKING` to a reply subject."""
        self._send = send
        self._watched: set[str] = set()

    @contextmanager
    def working_on(self, headers: Mapping[str, str] | None, reply: str) -> Iterator[None]:
        """Send signs while the block runs, where the question asks for them."""
        if not reply or headers is None or WATCHED not in headers:
            yield
            return
        self._watched.add(reply)
        try:
            yield
        finally:
            self._watched.discard(reply)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)
            for reply in list(self._watched):
                if reply not in self._watched:
                    continue
                try:
                    await self._send(reply)
                except Exception as error:  # whatever the client says: the next round tries again
                    _log.warning("asking.sign_failed", error=repr(error))
                    break


class _Call:
    """One question under way."""

    def __init__(self, subject: str, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.subject = subject
        self.timeout_s = timeout_s
        self.heard_at = loop.time()
        self.deadline = self.heard_at + timeout_s
        self.reply: asyncio.Future[bytes] = loop.create_future()

    def fail(self, reason: str) -> None:
        if not self.reply.done():
            self.reply.set_exception(BusUnavailableError(reason))

    def look(self, now: float) -> None:
        """Give up when it is time, or when who had the question has fallen silent."""
        if now >= self.deadline:
            self.fail(f"no answer on {self.subject} within {self.timeout_s:g} s")
        elif now >= self.heard_at + HEARTBEAT_TIMEOUT_S:
            self.fail(f"who had the question on {self.subject} has fallen silent")


class WatchedRequester:
    """Asks over one connection, with one subscription for all answers and one timer for all that wait."""

    def __init__(self, bus: Bus) -> None:
        """Subscribe with the first question."""
        self._bus = bus
        self._inbox = ""
        self._numbers = itertools.count()
        self._calls: dict[str, _Call] = {}
        self._looking: asyncio.TimerHandle | None = None

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask and return the answer; raise `BusUnavailableError` when nobody answers, or who did falls silent."""
        loop = asyncio.get_running_loop()
        if not self._inbox:
            self._inbox = self._bus.client.new_inbox()
            await self._bus.subscribe(f"{self._inbox}.*", self._on_message)
        number = str(next(self._numbers))
        call = self._calls[number] = _Call(subject, loop, timeout_s)
        if self._looking is None:
            self._looking = loop.call_later(_LOOK_EVERY_S, self._look, loop)
        try:
            await self._bus.client.publish(subject, payload, reply=f"{self._inbox}.{number}", headers={WATCHED: "1"})
            return await call.reply
        except nats.errors.Error as error:
            raise BusUnavailableError(f"cannot ask on {subject}: {error}") from error
        finally:
            del self._calls[number]
            call.reply.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look after the questions under way, for as long as there are any."""
        for call in self._calls.values():
            call.look(loop.time())
        self._looking = loop.call_later(_LOOK_EVERY_S, self._look, loop) if self._calls else None

    async def _on_message(self, message: Msg) -> None:
        call = self._calls.get(message.subject.rpartition(".")[2])
        if call is None or call.reply.done():
            return
        headers = message.headers or {}
        if WORKING in headers:
            call.heard_at = asyncio.get_running_loop().time()
        elif headers.get("Status") == _NO_RESPONDERS:
            call.fail(f"nobody serves {call.subject}")
        else:
            call.reply.set_result(message.data)

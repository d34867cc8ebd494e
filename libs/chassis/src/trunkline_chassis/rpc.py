"""Request and reply over FastStream: the broker set up once for all services that answer questions.

FastStream defaults that we do not keep: it would validate through pydantic (messages are decoded into Structs here),
treat an exception as final, and swallow it. A handler's failure is logged and answered with `Refused`, so that the
asker never waits for nothing. Askers that want it (`asking`) get a sign of life while their question is worked on.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import structlog
from faststream.nats import NatsBroker
from trunkline_protocols import codec
from trunkline_protocols.knowledge import Refused

from trunkline_chassis.bus import connection_options, flush
from trunkline_chassis.watched_requests import WORKING, RequestHeartbeats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from faststream.nats.message import NatsMessage
    from msgspec.json import Decoder
    from trunkline_protocols.wire import Wire

    from trunkline_chassis.latency import RecentLatency

_log: Final = structlog.get_logger(__name__)

Q = TypeVar("Q")


@dataclass(frozen=True, slots=True)
class _Asked(Generic[Q]):
    """A question, and where its answer is waited for."""

    question: Q | Refused
    headers: dict[str, str]
    reply: str


class Responder:
    """Answers requests on subjects; several processes of a service share them by queue group."""

    def __init__(self, url: str, name: str, latency: RecentLatency) -> None:
        """`name` is the queue group and the connection's name."""
        self._name = name
        self._latency = latency
        self.running = 0
        """Requests that are being answered now."""
        self._life = RequestHeartbeats(self._send_sign)
        self._signs: asyncio.Task[None] | None = None
        options = connection_options(url, f"{name}-rpc")
        self.broker = NatsBroker(
            **options,
            apply_types=False,
            logger=None,
            description=f"Questions that {name} answers",
            graceful_timeout=10.0,
        )

    def answer(
        self,
        subject: str,
        decoder: Decoder[Q],
        handle: Callable[[Q], Awaitable[Wire]],
        *,
        title: str,
        max_workers: int = 64,
    ) -> None:
        """Answer every request on `subject` with what `handle` returns."""

        async def decode(message: NatsMessage) -> _Asked[Q]:
            question: Q | Refused
            try:
                question = decoder.decode(message.body)
            except codec.DecodeError as error:
                question = Refused(code="bad_request", message=str(error), retryable=False)
            return _Asked(question, message.headers, message.reply_to)

        async def on_request(asked: Any) -> bytes:  # noqa: ANN401 - FastStream looks at the annotation
            if isinstance(asked.question, Refused):
                return codec.encode(asked.question)
            with self._life.working_on(asked.headers, asked.reply):
                return codec.encode(await self._run(subject, handle, asked.question))

        self.broker.subscriber(subject, queue=self._name, max_workers=max_workers, decoder=decode, title=title)(
            on_request
        )

    async def _run(self, subject: str, handle: Callable[[Q], Awaitable[Wire]], question: Q) -> Wire:
        started = time.perf_counter()
        self.running += 1
        try:
            return await handle(question)
        except Exception as error:
            _log.exception("rpc.failed", subject=subject)
            return Refused(code="internal", message=f"{type(error).__name__}: {error}", retryable=True)
        finally:
            self.running -= 1
            self._latency.add((time.perf_counter() - started) * 1000)

    async def _send_sign(self, reply: str) -> None:
        await self.broker.publish(b"", reply, headers={WORKING: "1"})

    async def start(self) -> None:
        """Connect and listen; who asks from now on is heard."""
        await self.broker.start()
        await flush(await self.broker.connect())
        self._signs = asyncio.ensure_future(self._life.run())

    async def stop(self) -> None:
        """Finish what is being answered and close."""
        await self.broker.stop()
        if self._signs is not None:
            self._signs.cancel()

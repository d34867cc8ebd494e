"""The way of a text to the open socket: the first piece at once, later ones gathered for some 40 ms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from trunkline_chassis.errors import BusError
from trunkline_protocols.completion import DeltaTarget
from trunkline_protocols.turn import Delta

GATHER_S: Final = 0.04
_LOOK_EVERY_S: Final = GATHER_S / 2


class DeltaStream:
    """Sends the deltas of one completion."""

    def __init__(self, target: DeltaTarget, send: Callable[[Delta], Awaitable[None]], now: Callable[[], float]) -> None:
        """`send` publishes one delta; `now` is a monotonic clock in seconds."""
        self._target = target
        self._send = send
        self._now = now
        self._waiting: list[str] = []
        self._sent_at: float | None = None
        self._replace = True
        self._failure: BusError | None = None

    async def add(self, piece: str) -> None:
        """Take the next piece; it is sent when the last delta is long enough ago."""
        if self._failure is not None:
            raise self._failure
        self._waiting.append(piece)
        if self._sent_at is None or self._now() - self._sent_at >= GATHER_S:
            await self.flush()

    async def flush_late(self) -> None:
        """Send what a pause in the text has left waiting; a failure is told to who adds the next piece."""
        if self._waiting and self._sent_at is not None and self._now() - self._sent_at >= GATHER_S:
            try:
                await self.flush()
            except BusError as error:
                self._failure = error

    async def flush(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        text = "".join(self._waiting)
        self._waiting.clear()
        self._sent_at = self._now()
        replace, self._replace = self._replace, False
        target = self._target
        await self._send(
            Delta(
                ref=target.ref,
                text=text,
                replace=replace,
                source=target.source,
            )
        )

    def start_anew(self) -> None:
        """Forget what waits: the next piece begins the text again."""
        self._waiting.clear()
        self._replace = True
        self._sent_at = None


class DeltaStreams:
    """The streams of a process. One clock for all of them: what is due goes out in one write."""

    def __init__(self, send: Callable[[str, Delta], Awaitable[None]], now: Callable[[], float]) -> None:
        """`send` publishes a delta to an ingress; `now` is a monotonic clock in seconds."""
        self._send = send
        self._now = now
        self._open: set[DeltaStream] = set()

    @contextmanager
    def stream(self, target: DeltaTarget | None) -> Iterator[DeltaStream | None]:
        """Have a stream while the block runs; None where nobody watches."""
        if target is None or not target.ingress:
            yield None
            return
        ingress = target.ingress

        async def send(delta: Delta) -> None:
            await self._send(ingress, delta)

        stream = DeltaStream(target, send, self._now)
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)

    async def run(self) -> None:
        """Send what pauses leave waiting; until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for stream in list(self._open):
                await stream.flush_late()

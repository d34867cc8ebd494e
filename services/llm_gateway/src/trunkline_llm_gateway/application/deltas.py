"""Delivery of a text to the open socket: the first piece immediately, later pieces batched.

Each delta costs four processes a wake-up, so the batches become longer the more texts are streamed at once: 40 ms for
one, which reads as continuous, up to 150 ms. The pieces behind the last batch are in no delta: the commit with the
whole text follows within milliseconds, and the ingress shows the rest of it (ADR 0047).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from trunkline_chassis.errors import BusError
from trunkline_protocols.completion import DeltaTarget
from trunkline_protocols.turn import Delta

from trunkline_llm_gateway.ports import SendDelta

MIN_BATCH_S: Final = 0.04
MAX_BATCH_S: Final = 0.15
_BATCH_S_PER_STREAM: Final = 0.016


def batch_interval_s(open_streams: int) -> float:
    """Return the seconds between two deltas of a text while a process streams this many texts."""
    return min(MAX_BATCH_S, MIN_BATCH_S + _BATCH_S_PER_STREAM * max(0, open_streams - 1))


class DeltaStream:
    """Sends the deltas of one completion."""

    def __init__(
        self,
        target: DeltaTarget,
        send: Callable[[Delta], Awaitable[None]],
        now: Callable[[], float],
        interval_s: Callable[[], float] = lambda: MIN_BATCH_S,
    ) -> None:
        """`send` publishes one delta; `now` is a monotonic clock in seconds, `interval_s` the time between deltas."""
        self._target = target
        self._send = send
        self._now = now
        self._interval_s = interval_s
        self._pending: list[str] = []
        self._sent_at: float | None = None
        self._replace = True
        self._is_shown = False
        self._failure: BusError | None = None

    async def add(self, piece: str) -> None:
        """Add the next piece; it is sent if the batch interval since the last delta has passed."""
        if self._failure is not None:
            raise self._failure
        self._pending.append(piece)
        if self._sent_at is None or self._now() - self._sent_at >= self._interval_s():
            await self.flush()

    async def flush_due(self) -> None:
        """Send pieces left pending by a pause in the text; if that fails, the next `add` raises the error."""
        if self._pending and self._sent_at is not None and self._now() - self._sent_at >= self._interval_s():
            try:
                await self.flush()
            except BusError as error:
                self._failure = error

    async def flush(self) -> None:
        """Send the pending pieces as one delta."""
        if not self._pending:
            return
        text = "".join(self._pending)
        self._pending.clear()
        self._sent_at = self._now()
        replace, self._replace = self._replace, False
        self._is_shown = True
        await self._send_text(text, replace=replace)

    def end(self) -> None:
        """Discard pending pieces: the text is complete, and its commit shows them."""
        self._pending.clear()

    def restart(self) -> None:
        """Discard pending pieces; the next delta replaces the text shown so far."""
        self._pending.clear()
        self._replace = True
        self._sent_at = None

    async def withdraw(self) -> None:
        """Remove the text shown so far; the next delta replaces it again, in case this one is lost."""
        self.restart()
        if self._is_shown:
            self._is_shown = False
            await self._send_text("", replace=True)

    async def _send_text(self, text: str, *, replace: bool) -> None:
        target = self._target
        await self._send(Delta(ref=target.ref, text=text, replace=replace, source=target.source))


class DeltaStreams:
    """All open streams of a process, flushed by one timer so that due deltas share one write."""

    def __init__(self, send: SendDelta, now: Callable[[], float]) -> None:
        """`now` is a monotonic clock in seconds."""
        self._send = send
        self._now = now
        self._open: set[DeltaStream] = set()
        self._busy = asyncio.Event()

    @contextmanager
    def open(self, target: DeltaTarget | None) -> Iterator[DeltaStream | None]:
        """Keep a stream open while the block runs; None if the completion is not streamed."""
        if target is None or not target.ingress:
            yield None
            return
        ingress = target.ingress

        async def send(delta: Delta) -> None:
            await self._send(ingress, delta)

        stream = DeltaStream(target, send, self._now, self._batch_s)
        self._open.add(stream)
        self._busy.set()
        try:
            yield stream
        finally:
            self._open.discard(stream)

    async def run(self) -> None:
        """Flush due deltas until cancelled."""
        while True:
            await self._busy.wait()
            await asyncio.sleep(self._batch_s() / 2)
            for stream in list(self._open):
                await stream.flush_due()
            if not self._open:
                self._busy.clear()

    def _batch_s(self) -> float:
        return batch_interval_s(len(self._open))

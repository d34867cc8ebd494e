"""The way of a text to the open socket: the first piece at once, later ones gathered for some 40 ms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from trunkline_protocols.completion import DeltaTarget
from trunkline_protocols.turn import Delta

GATHER_S: Final = 0.04


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

    async def add(self, piece: str) -> None:
        """Take the next piece; it is sent when the last delta is long enough ago."""
        self._waiting.append(piece)
        if self._sent_at is None or self._now() - self._sent_at >= GATHER_S:
            await self.flush()

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
                conversation=target.conversation,
                turn=target.turn,
                attempt=target.attempt,
                hop=target.hop,
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

    async def run(self) -> None:
        """Send what a pause in the stream leaves waiting; until cancelled."""
        while True:
            await asyncio.sleep(GATHER_S)
            if self._sent_at is not None and self._now() - self._sent_at >= GATHER_S:
                await self.flush()

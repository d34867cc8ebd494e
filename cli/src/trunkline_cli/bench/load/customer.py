"""A simulated customer: one open conversation, its texts and its record."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from trunkline_protocols import codec
from trunkline_protocols.frames import End, ErrorFrame, Message, ServerFrame

from trunkline_cli.bench.load.core.records import ConversationRecord, TurnRecord
from trunkline_cli.bench.load.plan import OnRefusal

MAX_ATTEMPTS: Final = 5
"""Attempts to send a message that the suite refuses."""
_DEFAULT_RETRY_S: Final = 1.0
_MAX_RETRY_S: Final = 30.0
_CLOSE_TIMEOUT_S: Final = 5.0


@dataclass(slots=True)
class Script:
    """Texts of a customer: each once and in order, or chosen at random without end."""

    texts: list[str]
    rng: random.Random
    in_order: bool
    sent: int = 0

    @property
    def is_over(self) -> bool:
        """Whether all texts are sent."""
        return self.in_order and self.sent == len(self.texts)

    def next(self) -> str:
        """Return the next text."""
        self.sent += 1
        return self.texts[self.sent - 1] if self.in_order else self.rng.choice(self.texts)


@dataclass(slots=True)
class Customer:
    """An open conversation. `settled` is set while no answer is awaited."""

    number: int
    socket: aiohttp.ClientWebSocketResponse
    script: Script
    record: ConversationRecord = field(default_factory=ConversationRecord)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: bool = False
    """Whether the socket is closed."""
    has_ended: bool = False
    """Whether the customer has ended the conversation."""

    async def send(self, *, due_at: float | None, phase: int | None) -> None:
        """Send the next text; a turn that finds the socket closed is an error."""
        turn = TurnRecord(
            id=f"m{len(self.record.turns) + 1}",
            sent_at=time.monotonic(),
            text=self.script.next(),
            due_at=due_at,
            phase=phase,
        )
        self.settled.clear()
        self.record.record_sent(turn)
        await self._send(turn)

    async def _send(self, turn: TurnRecord) -> None:
        try:
            await self.socket.send_str(codec.encode(Message(id=turn.id, text=turn.text)).decode())
        except (aiohttp.ClientError, ConnectionError) as error:
            self.record.errors.append(("send", type(error).__name__))
            turn.is_failed = True
            self.settled.set()

    def receive(self, frame: ServerFrame, on_refusal: OnRefusal) -> float | None:
        """Record a frame; return the seconds after which a refused message has to be sent again, else None."""
        turn = self.record.record_refusal(frame)
        if turn is None:
            self.record.record_frame(frame, time.monotonic())
        elif on_refusal == "retry" and turn.attempts < MAX_ATTEMPTS:
            after_s = frame.retry_after_s if isinstance(frame, ErrorFrame) else None
            return min(_MAX_RETRY_S, after_s) if isinstance(after_s, float) else _DEFAULT_RETRY_S
        else:
            turn.is_refused = True
        if not self.record.is_waiting:
            self.settled.set()
        return None

    async def send_again(self) -> None:
        """Send the last message again, with the same id; its latency still begins at the intended moment."""
        turn = self.record.turns[-1]
        turn.attempts += 1
        turn.sent_at = time.monotonic()
        await self._send(turn)

    async def read(self, on_frame: Callable[[Customer, ServerFrame], None]) -> None:
        """Report every frame until the socket is closed."""
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                on_frame(self, codec.server_frame.decode(message.data))
        self.is_gone = True
        self.settled.set()

    async def end(self) -> None:
        """End the conversation and close the socket."""
        self.has_ended = True
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.socket.send_str(codec.encode(End()).decode())
                await self.socket.close()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            self.is_gone = True

"""Customers under faults: they send at a fixed rate whatever comes back, resume after a cut, and keep a record."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec

_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.4)
_CONNECT_TIMEOUT_S: Final = 3.0
_RESEND_AFTER_S: Final = 5.0
TEXTS: Final = (
    "I was charged twice for my order, can I get a refund?",
    "My invoice shows the wrong address",
    "The thermostat shows error E2",
    "Where is my parcel?",
    "I forgot my password",
)


@dataclass(slots=True)
class SentMessage:
    """One message: when it was sent first, accepted and answered, by the monotonic clock."""

    id: str
    sent_at: float
    tried_at: float
    accepted_at: float | None = None
    answered_at: float | None = None
    answer: str = ""


@dataclass(slots=True)
class Record:
    """What one customer did and saw."""

    name: str
    conversation: str = ""
    resume_token: str = ""
    last_seq: int = 0
    said: list[SentMessage] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    """Promises of the protocol that were not kept."""
    cuts: int = 0
    begun_anew: int = 0
    """Answers of which something was shown and then taken back."""

    @property
    def waits(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self.said) and self.said[-1].answered_at is None


class FaultyDayCustomer:
    """One conversation through every fault."""

    def __init__(self, url: str, name: str, session: aiohttp.ClientSession) -> None:
        """`session` is shared by all customers."""
        self.record = Record(name)
        self._url = url
        self._session = session
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._shown: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Keep a socket open until cancelled."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    socket = await self._session.ws_connect(
                        f"{self._url}/v1/chat", protocols=("trunkline.v1",), max_msg_size=0, compress=0
                    )
                try:
                    await self._talk(socket)
                finally:
                    self._socket = None
                    await socket.close()
                failures = 0
            except (aiohttp.ClientError, OSError, TimeoutError):
                failures += 1
            self.record.cuts += 1
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    async def say(self, text: str, due_at: float) -> None:
        """Say something; what cannot be sent now is sent after the next resume."""
        said = SentMessage(f"m{len(self.record.said) + 1}", due_at, time.monotonic())
        self.record.said.append(said)
        self._texts[said.id] = text
        await self._send(said)

    async def look_after(self) -> None:
        """Send again what was neither accepted nor refused for long: the frame may have met a dying process."""
        now = time.monotonic()
        for said in self.record.said[-3:]:
            if said.accepted_at is None and now - said.tried_at > _RESEND_AFTER_S:
                await self._send(said)

    async def _send(self, said: SentMessage) -> None:
        if self._socket is None:
            return
        said.tried_at = time.monotonic()
        frame = {"type": "message", "id": said.id, "text": self._texts[said.id]}
        try:
            await self._socket.send_str(msgspec.json.encode(frame).decode())
        except (aiohttp.ClientError, OSError):
            self._socket = None

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        record = self.record
        opening: dict[str, Any] = {"type": "start", "customer": record.name}
        if record.conversation:
            opening = {
                "type": "resume",
                "conversation": record.conversation,
                "resume_token": record.resume_token,
                "last_seq": record.last_seq,
            }
        await socket.send_str(msgspec.json.encode(opening).decode())
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            frame = msgspec.json.decode(message.data)
            self._hear(frame)
            if frame["type"] == "started" or (frame["type"] == "resumed" and frame["recovered"]):
                self._socket = socket
                self.started.set()
                for said in record.said[-3:]:
                    if said.accepted_at is None:
                        await self._send(said)

    def _hear(self, frame: dict[str, Any]) -> None:  # noqa: C901 - one case a frame
        record, now = self.record, time.monotonic()
        kind = frame["type"]
        if kind == "started":
            record.conversation, record.resume_token = frame["conversation"], frame["resume_token"]
        if "seq" in frame:
            repeated = kind == "accepted" and frame["seq"] <= record.last_seq
            if not repeated and frame["seq"] != record.last_seq + 1:
                record.breaches.append(f"after seq {record.last_seq} came {kind} {frame['seq']}")
            record.last_seq = max(record.last_seq, frame["seq"])
        match kind:
            case "accepted":
                said = self._said(frame["id"])
                said.accepted_at = said.accepted_at or now
            case "delta":
                shown = self._shown.get(frame["turn"], "")
                if frame.get("replace"):
                    record.begun_anew += bool(shown)
                    shown = ""
                self._shown[frame["turn"]] = shown + frame["text"]
            case "message":
                self._answer(frame, now)
            case "error":
                if not frame["retryable"]:
                    record.breaches.append(f"error {frame['code']}: {frame['message']}")
            case "resumed":
                # Deltas belong to their socket: what a lost one had shown is forgotten, the answer comes whole.
                self._shown.clear()
                if not frame["recovered"]:
                    record.breaches.append("not recovered")
            case _:
                pass

    def _answer(self, frame: dict[str, Any], now: float) -> None:
        record = self.record
        shown = self._shown.pop(frame["turn"], "")
        if not frame["text"].startswith(shown):
            record.breaches.append(f"{frame['in_reply_to']}: what was streamed is not how the answer begins")
        said = self._said(frame["in_reply_to"])
        if said.answered_at is not None:
            record.breaches.append(f"{said.id} was answered twice")
            return
        said.answered_at, said.answer = now, frame["text"]
        record.answered.append(said.id)

    def _said(self, id_: str) -> SentMessage:
        return self.record.said[int(id_[1:]) - 1]


class Crowd:
    """All customers of a run."""

    def __init__(self, url: str, count: int, seed: int, texts: tuple[str, ...] = TEXTS) -> None:
        """`seed` decides who says what when."""
        self._url = url
        self._count = count
        self._texts = texts
        self._random = random.Random(seed)  # noqa: S311 - load, not secrets
        self._session: aiohttp.ClientSession | None = None
        self.customers: list[FaultyDayCustomer] = []
        self.skipped = 0
        """Turns that found every conversation waiting."""

    async def open(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Open all conversations."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.customers = [FaultyDayCustomer(self._url, f"c{n}", self._session) for n in range(self._count)]
        running = []
        for customer in self.customers:
            running.append(tasks.create_task(customer.run()))
            if len(running) % 32 == 0:
                await customer.started.wait()
        for customer in self.customers:
            await customer.started.wait()
        running.append(tasks.create_task(self._look_after()))
        return running

    async def talk(self, rate: float, duration_s: float) -> None:
        """Say something `rate` times a second, in conversations that do not wait (open loop)."""
        started = time.monotonic()
        due_at = started
        while (due_at := due_at + self._random.expovariate(rate)) < started + duration_s:
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))
            idle = [customer for customer in self.customers if not customer.record.waits]
            if not idle:
                self.skipped += 1
                continue
            await self._random.choice(idle).say(self._random.choice(self._texts), due_at)

    async def settle(self, timeout_s: float) -> None:
        """Wait until everything is answered, or for so long."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(customer.record.waits for customer in self.customers):
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Leave."""
        if self._session is not None:
            await self._session.close()

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for customer in self.customers:
                await customer.look_after()

"""Customers under faults: they send at a fixed rate in an open loop, resume after a cut, and keep a record."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec

_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.4)
_CONNECT_TIMEOUT_S: Final = 3.0
_ADDRESS_TIMEOUT_S: Final = 1.0
"""A host that lives accepts a connection at once, whatever its load: the kernel does it."""
_RESEND_AFTER_S: Final = 5.0
_RESEND_INTERVAL_S: Final = 0.25
TEXTS: Final = (
    "I was charged twice for my order, can I get a refund?",
    "My invoice shows the wrong address",
    "The thermostat shows error E2",
    "Where is my parcel?",
    "I forgot my password",
)


@dataclass(slots=True)
class SentMessage:
    """One message; times are by the monotonic clock, in seconds."""

    id: str
    due_at: float
    """When it was due; delays count from here."""
    last_sent_at: float
    refused_until: float | None = None
    """Time that the last refusal named; None if the last attempt has no reply."""
    refusals: int = 0
    accepted_at: float | None = None
    answered_at: float | None = None
    answer: str = ""


@dataclass(slots=True)
class CustomerRecord:
    """Messages, answers and protocol violations of one customer."""

    name: str
    conversation: str = ""
    resume_token: str = ""
    last_seq: int = 0
    messages: list[SentMessage] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    """Violated guarantees of the protocol."""
    cuts: int = 0
    restarted_answers: int = 0
    """Answers of which some text was shown and then replaced."""

    @property
    def is_waiting(self) -> bool:
        """Return whether the last message is unanswered."""
        return bool(self.messages) and self.messages[-1].answered_at is None

    @property
    def due_messages(self) -> list[SentMessage]:
        """Return the last messages without an acknowledgement that may be sent: their refusals have expired."""
        now = time.monotonic()
        return [
            message
            for message in self.messages[-3:]
            if message.accepted_at is None and (message.refused_until is None or now >= message.refused_until)
        ]

    def message(self, id_: str) -> SentMessage:
        """Return a message by its id."""
        return self.messages[int(id_[1:]) - 1]


@dataclass(frozen=True, slots=True)
class Entry:
    """The way of customers to a suite."""

    urls: tuple[str, ...]
    """Tried one after another, each customer beginning with another one."""
    tls: ssl.SSLContext | None = None
    token: Callable[[str], str] | None = None
    """Access token of a customer, if the suite authenticates them."""
    heartbeat_s: float | None = None
    """Interval of pings, without an answer to which a socket is given up: a lost host closes none."""

    def headers(self, customer: str) -> dict[str, str]:
        """Return the headers of a connection."""
        return {"Authorization": f"Bearer {self.token(customer)}"} if self.token is not None else {}


class ReconnectingCustomer:
    """A chat client that reconnects and resumes its conversation after every fault."""

    def __init__(self, entry: Entry, number: int, session: aiohttp.ClientSession) -> None:
        """`session` is shared by all customers."""
        self.record = CustomerRecord(f"c{number}")
        self._entry = entry
        self._attempts = number
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
                    socket = await self._connect()
                try:
                    await self._use_socket(socket)
                finally:
                    self._socket = None
                    await socket.close()
                failures = 0
            except (aiohttp.ClientError, OSError, TimeoutError):
                failures += 1
            self.record.cuts += 1
            self._attempts += 1
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        entry = self._entry
        return await self._session.ws_connect(
            f"{entry.urls[self._attempts % len(entry.urls)]}/v1/chat",
            protocols=("trunkline.v1",),
            headers=entry.headers(self.record.name),
            ssl=entry.tls or True,
            heartbeat=entry.heartbeat_s,
            max_msg_size=0,
            compress=0,
        )

    async def send_message(self, text: str, due_at: float) -> None:
        """Send a message; without a socket it is sent after the next resume."""
        message = SentMessage(f"m{len(self.record.messages) + 1}", due_at, time.monotonic())
        self.record.messages.append(message)
        self._texts[message.id] = text
        await self._send(message)

    async def resend_unacknowledged(self) -> None:
        """Resend refused messages after the time of the refusal.

        Messages without a reply are resent after 5 s: the frame may have reached a dying process.
        """
        now = time.monotonic()
        for message in self.record.due_messages:
            if message.refused_until is not None or now - message.last_sent_at > _RESEND_AFTER_S:
                await self._send(message)

    async def _send(self, message: SentMessage) -> None:
        if self._socket is None:
            return
        message.last_sent_at, message.refused_until = time.monotonic(), None
        frame = {"type": "message", "id": message.id, "text": self._texts[message.id]}
        try:
            await self._socket.send_str(msgspec.json.encode(frame).decode())
        except (aiohttp.ClientError, OSError):
            self._socket = None

    async def _use_socket(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Start or resume, then handle frames until the socket is closed."""
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
        async for received in socket:
            if received.type is not aiohttp.WSMsgType.TEXT:
                break
            frame = msgspec.json.decode(received.data)
            self._handle_frame(frame)
            if frame["type"] == "started" or (frame["type"] == "resumed" and frame["recovered"]):
                self._socket = socket
                self.started.set()
                for message in record.due_messages:
                    await self._send(message)

    def _handle_frame(self, frame: dict[str, Any]) -> None:
        record, kind = self.record, frame["type"]
        self._check_sequence(frame)
        match kind:
            case "started":
                record.conversation, record.resume_token = frame["conversation"], frame["resume_token"]
            case "accepted":
                message = record.message(frame["id"])
                message.accepted_at = message.accepted_at or time.monotonic()
            case "delta":
                shown = self._shown.get(frame["turn"], "")
                if frame.get("replace"):
                    record.restarted_answers += bool(shown)
                    shown = ""
                self._shown[frame["turn"]] = shown + frame["text"]
            case "message":
                self._handle_answer(frame)
            case "error":
                self._handle_error(frame)
            case "resumed":
                # Deltas belong to their socket: after a resume the complete answer follows.
                self._shown.clear()
                if not frame["recovered"]:
                    record.violations.append("not recovered")
            case _:
                pass

    def _handle_error(self, frame: dict[str, Any]) -> None:
        """Keep the time of a refusal; the message is sent again then, under its id."""
        if not frame["retryable"]:
            self.record.violations.append(f"error {frame['code']}: {frame['message']}")
        elif frame.get("id") and frame.get("retry_after_s"):
            message = self.record.message(frame["id"])
            message.refused_until = time.monotonic() + frame["retry_after_s"]
            message.refusals += 1

    def _check_sequence(self, frame: dict[str, Any]) -> None:
        """Durable frames arrive without a gap; only `accepted` may be repeated."""
        if "seq" not in frame:
            return
        record, kind, seq = self.record, frame["type"], frame["seq"]
        is_repetition = kind == "accepted" and seq <= record.last_seq
        if not is_repetition and seq != record.last_seq + 1:
            record.violations.append(f"{kind} {seq} after seq {record.last_seq}")
        record.last_seq = max(record.last_seq, seq)

    def _handle_answer(self, frame: dict[str, Any]) -> None:
        record = self.record
        shown = self._shown.pop(frame["turn"], "")
        if not frame["text"].startswith(shown):
            record.violations.append(f"{frame['in_reply_to']}: the answer does not begin with the streamed text")
        message = record.message(frame["in_reply_to"])
        if message.answered_at is not None:
            record.violations.append(f"{message.id}: answered twice")
            return
        message.answered_at, message.answer = time.monotonic(), frame["text"]
        record.answered.append(message.id)


class CustomerPool:
    """All customers of a run."""

    def __init__(self, entry: str | Entry, count: int, seed: int, texts: tuple[str, ...] = TEXTS) -> None:
        """`entry` may be an address alone; `seed` decides the arrivals, and the customer and text of each."""
        self._entry = entry if isinstance(entry, Entry) else Entry((entry,))
        self._count = count
        self._texts = texts
        self._rng = random.Random(seed)  # noqa: S311 - load, not secrets
        self._session: aiohttp.ClientSession | None = None
        self.customers: list[ReconnectingCustomer] = []
        self.skipped = 0
        """Arrivals at which every conversation was waiting."""

    async def open(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Open all conversations; return the running tasks."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_ADDRESS_TIMEOUT_S),
        )
        self.customers = [ReconnectingCustomer(self._entry, number, self._session) for number in range(self._count)]
        running = []
        for customer in self.customers:
            running.append(tasks.create_task(customer.run()))
            if len(running) % 32 == 0:
                await customer.started.wait()
        for customer in self.customers:
            await customer.started.wait()
        running.append(tasks.create_task(self._resend_unacknowledged()))
        return running

    async def send_at_rate(self, rate: float, duration_s: float) -> None:
        """Send `rate` messages per second, in conversations that do not wait for an answer (open loop)."""
        started = time.monotonic()
        due_at = started
        while (due_at := due_at + self._rng.expovariate(rate)) < started + duration_s:
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))
            idle = [customer for customer in self.customers if not customer.record.is_waiting]
            if not idle:
                self.skipped += 1
                continue
            await self._rng.choice(idle).send_message(self._rng.choice(self._texts), due_at)

    async def wait_until_answered(self, timeout_s: float) -> None:
        """Wait until every message is answered, or until the timeout."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(customer.record.is_waiting for customer in self.customers):
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Close all sockets."""
        if self._session is not None:
            await self._session.close()

    async def _resend_unacknowledged(self) -> None:
        while True:
            await asyncio.sleep(_RESEND_INTERVAL_S)
            for customer in self.customers:
                await customer.resend_unacknowledged()

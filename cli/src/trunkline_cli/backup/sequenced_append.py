"""Appends to a stream under given sequences: each message is accepted as the next one only, so none is stored twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
from trunkline_chassis.bus import FENCE_CONFLICTS, Bus
from trunkline_chassis.cancellation import propagate_cancellation
from trunkline_chassis.errors import BusRefusedError, BusUnavailableError
from trunkline_chassis.jetstream_replies import pub_ack
from trunkline_protocols.decoding import DecodeError
from trunkline_protocols.streams import StreamSpec

_WINDOW: Final = 500
"""Messages that are sent ahead of their acknowledgements."""
_WINDOW_BYTES: Final = 8 * 1024 * 1024
_ACK_TIMEOUT_S: Final = 5.0
_MAX_ATTEMPTS: Final = 5
_RETRY_DELAY_S: Final = 0.5
_PURGE_TIMEOUT_S: Final = 120.0
_WRONG_SEQUENCE: Final = 10071
_PLACEHOLDER: Final = "roll-forward"


@dataclass(frozen=True, slots=True)
class SequencedMessage:
    """A message and the sequence that it must get."""

    sequence: int
    subject: str
    payload: bytes


class SequencedStream:
    """A stream that no other process writes to meanwhile."""

    def __init__(self, bus: Bus, spec: StreamSpec) -> None:
        """Use a connection with the rights of the supervisor."""
        self._bus = bus
        self._name = spec.name
        self._placeholder = spec.subjects[0].replace(">", _PLACEHOLDER)
        self._waiting: list[SequencedMessage] = []
        self._bytes = 0
        self._next = 0

    async def state(self) -> dict[str, Any]:
        """Return the state of the stream as in the JetStream API."""
        state: dict[str, Any] = (await self._bus.api(f"STREAM.INFO.{self._name}"))["state"]
        return state

    async def append(self, message: SequencedMessage) -> int:
        """Append behind as many placeholders as sequences are missing; return their number."""
        if not self._next:
            self._next = (await self.state())["last_seq"] + 1
        missing = message.sequence - self._next
        await self.reserve(message.sequence - 1)
        await self._add(message)
        return missing

    async def reserve(self, last: int) -> None:
        """Use up all sequences to `last`, so that no message gets one of them."""
        if not self._next:
            self._next = (await self.state())["last_seq"] + 1
        while self._next <= last:
            await self._add(SequencedMessage(self._next, self._placeholder, b""))

    async def finish(self) -> dict[str, Any]:
        """Append what waits, remove all placeholders, and return the state before that."""
        await self._flush()
        before = await self.state()
        await self._bus.api(f"STREAM.PURGE.{self._name}", {"filter": self._placeholder}, timeout_s=_PURGE_TIMEOUT_S)
        last = (await self.state())["last_seq"]
        if last != before["last_seq"]:
            raise BusUnavailableError(f"stream {self._name} ended at {before['last_seq']} and ends at {last} now")
        return before

    async def _add(self, message: SequencedMessage) -> None:
        self._waiting.append(message)
        self._bytes += len(message.payload)
        self._next = message.sequence + 1
        if len(self._waiting) >= _WINDOW or self._bytes >= _WINDOW_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        """Append what waits. If an acknowledgement is lost, the stream shows which messages it has."""
        for attempts_left in reversed(range(_MAX_ATTEMPTS)):
            if not self._waiting:
                break
            try:
                await self._send(self._waiting)
            except BusUnavailableError:
                if not attempts_left:
                    raise
                await asyncio.sleep(_RETRY_DELAY_S)
                self._waiting = await self._missing(self._waiting)
            else:
                self._waiting = []
        self._bytes = 0

    async def _missing(self, messages: Sequence[SequencedMessage]) -> list[SequencedMessage]:
        """Return the messages that the stream lacks; raise `BusRefusedError` if another process has appended."""
        last = (await self.state())["last_seq"]
        expected = next((message for message in messages if message.sequence == last), None)
        if expected is not None:
            found = await self._bus.get_message(self._name, last)
            if found is None or (found.subject, found.payload) != (expected.subject, expected.payload):
                raise BusRefusedError(_WRONG_SEQUENCE, f"another process appends to stream {self._name}; stop it")
        return [message for message in messages if message.sequence > last]

    async def _send(self, messages: Sequence[SequencedMessage]) -> None:
        """Send messages in order and wait for all acknowledgements."""
        inbox = self._bus.client.new_inbox()
        subscription = await self._bus.client.subscribe(inbox)
        try:
            for message in messages:
                headers = {"Nats-Expected-Last-Sequence": str(message.sequence - 1)}
                await self._bus.client.publish(message.subject, message.payload, reply=inbox, headers=headers)
            for _ in messages:
                reply = await propagate_cancellation(subscription.next_msg(timeout=_ACK_TIMEOUT_S))
                self._check(reply.data)
        except (nats.errors.Error, TimeoutError, DecodeError) as error:
            raise BusUnavailableError(f"stream {self._name} does not acknowledge: {error}") from error
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    def _check(self, reply: bytes) -> None:
        error = pub_ack.decode(reply).error
        if error is None:
            return
        description = f"stream {self._name}: {error.description}"
        if error.err_code in FENCE_CONFLICTS:  # or a former attempt has arrived late
            raise BusUnavailableError(description)
        raise BusRefusedError(error.err_code or error.code, description)

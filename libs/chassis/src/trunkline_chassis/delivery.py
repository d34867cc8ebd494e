"""Handler outcomes and their mapping to JetStream. The only module that settles a message.

Done                 ack
RetryLater(after_s)  nak with exponential backoff
Reject(reason)       dead letter, then term
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import structlog
from prometheus_client import Counter
from trunkline_protocols import codec, subjects
from trunkline_protocols.dead_letter import DeadLetter
from trunkline_protocols.streams import WORK

from trunkline_chassis.tracing.tracer import received_traceparent

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_REDELIVERIES: Final = Counter("trunkline_redeliveries_total", "Messages delivered more than once", ["consumer"])
_DEAD_LETTERS: Final = Counter("trunkline_dead_letters_total", "Messages moved to the dead letters", ["consumer"])

MAX_RETRY_DELAY_S: Final = 30.0
MAX_LETTER_CHARACTERS: Final = 100_000
"""Each takes up to six bytes as JSON: the letter stays below the server's limit of 1 MiB for a message."""
_MAX_DOUBLINGS: Final = 16
"""Bounds the exponent, so that the delay of a message with many deliveries does not overflow."""


@dataclass(frozen=True, slots=True)
class Done:
    """The message was handled and is acknowledged."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The message is redelivered after `after_s` seconds, doubled with every delivery up to 30 s."""

    reason: str
    after_s: float = 0.25


@dataclass(frozen=True, slots=True)
class Reject:
    """The message cannot be handled: it is dead-lettered with the reason and not redelivered."""

    reason: str


Outcome: TypeAlias = Done | RetryLater | Reject


@dataclass(frozen=True, slots=True)
class Delivery:
    """A stream message and its delivery metadata."""

    stream: str
    consumer: str
    subject: str
    payload: bytes
    sequence: int
    deliveries: int
    pending: int
    """Messages still queued in the consumer at the time of the delivery."""
    message: Msg
    """The NATS message, for its reply subject and its headers."""
    stored_at: float = 0.0
    """Time at which the server stored the message, Unix seconds of the server's clock."""

    @property
    def traceparent(self) -> str:
        """The header of that name, empty without one and while traces are off."""
        return received_traceparent(self.message.headers)

    @classmethod
    def from_message(cls, message: Msg) -> Delivery:
        """Parse the delivery metadata from the reply subject."""
        metadata = message.metadata
        if metadata.num_delivered > 1:
            _REDELIVERIES.labels(metadata.consumer).inc()
        return cls(
            stream=metadata.stream,
            consumer=metadata.consumer,
            subject=message.subject,
            payload=message.data,
            sequence=metadata.sequence.stream,
            deliveries=metadata.num_delivered,
            pending=metadata.num_pending,
            message=message,
            stored_at=metadata.timestamp.timestamp(),
        )


def retry_delay_s(outcome: RetryLater, deliveries: int) -> float:
    """Return the seconds until the next delivery: exponential backoff, capped."""
    return min(outcome.after_s * 2.0 ** min(deliveries - 1, _MAX_DOUBLINGS), MAX_RETRY_DELAY_S)


async def settle(bus: Bus, delivery: Delivery, outcome: Outcome) -> None:
    """Acknowledge, delay or dead-letter a message according to its outcome."""
    match outcome:
        case Done():
            await bus.publish(delivery.message.reply, b"+ACK")
        case RetryLater(reason=reason):
            backoff_s = retry_delay_s(outcome, delivery.deliveries)
            _log.info(
                "delivery.retry_scheduled", subject=delivery.subject, deliveries=delivery.deliveries, reason=reason
            )
            await bus.publish(delivery.message.reply, b'-NAK {"delay": %d}' % int(backoff_s * 1e9))
        case Reject(reason=reason):
            await dead_letter(bus, delivery, reason)
            await bus.publish(delivery.message.reply, b"+TERM")
        case _:
            assert_never(outcome)


async def dead_letter(bus: Bus, delivery: Delivery, reason: str) -> None:
    """Store a message in DEAD_LETTERS, once even if it is called again for the same message."""
    # Work is in memory alone, in clear; what it answers is in the inbox.
    payload = "" if delivery.stream == WORK.name else delivery.payload.decode("utf-8", "replace")
    if len(payload) > MAX_LETTER_CHARACTERS:
        payload = payload[:MAX_LETTER_CHARACTERS]
        reason = f"{reason} (the first {MAX_LETTER_CHARACTERS} characters of {len(delivery.payload)} bytes)"
    letter = DeadLetter(
        stream=delivery.stream,
        consumer=delivery.consumer,
        subject=delivery.subject,
        sequence=delivery.sequence,
        deliveries=delivery.deliveries,
        reason=reason,
        payload=payload,
        at=time.time(),
    )
    await bus.append(
        subjects.dead_letter(delivery.stream, delivery.consumer),
        codec.encode(letter),
        message_id=f"dead-{delivery.stream}-{delivery.consumer}-{delivery.sequence}",
    )
    _DEAD_LETTERS.labels(delivery.consumer).inc()
    _log.error("delivery.dead_lettered", subject=delivery.subject, sequence=delivery.sequence, reason=reason)

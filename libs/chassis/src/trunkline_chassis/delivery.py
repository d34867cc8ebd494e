"""What a handler may say of a message, and what that means on JetStream. The only file that settles a message.

Done                 ack
RetryLater(after_s)  nak with a delay that grows with the deliveries
Reject(reason)       dead letter, then term
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import structlog
from prometheus_client import Counter
from trunkline_protocols import codec, subjects
from trunkline_protocols.presence import DeadLetter

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_REDELIVERIES: Final = Counter("trunkline_redeliveries_total", "Messages that came more than once", ["consumer"])
_DEAD_LETTERS: Final = Counter("trunkline_dead_letters_total", "Messages given up", ["consumer"])

LONGEST_DELAY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """Handled: never again."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Not now; `after_s` is the first delay, doubled with every delivery up to half a minute."""

    reason: str
    after_s: float = 0.25


@dataclass(frozen=True, slots=True)
class Reject:
    """Never: kept as a dead letter with its reason."""

    reason: str


Outcome: TypeAlias = Done | RetryLater | Reject


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message of a stream as a consumer delivered it."""

    stream: str
    consumer: str
    subject: str
    payload: bytes
    sequence: int
    deliveries: int
    pending: int
    """Messages of this consumer that were still waiting."""
    message: Msg

    @classmethod
    def of(cls, message: Msg) -> Delivery:
        """Read the delivery's data from the reply subject."""
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
        )


def delay_s(outcome: RetryLater, deliveries: int) -> float:
    """Seconds until the next delivery: doubled each time, capped."""
    return min(outcome.after_s * 2.0 ** min(deliveries - 1, 16), LONGEST_DELAY_S)


async def settle(bus: Bus, delivery: Delivery, outcome: Outcome) -> None:
    """Tell the server what became of a message."""
    match outcome:
        case Done():
            await bus.publish(delivery.message.reply, b"+ACK")
        case RetryLater(reason=reason):
            wait_s = delay_s(outcome, delivery.deliveries)
            _log.info("delivery.retry", subject=delivery.subject, deliveries=delivery.deliveries, reason=reason)
            await bus.publish(delivery.message.reply, b'-NAK {"delay": %d}' % int(wait_s * 1e9))
        case Reject(reason=reason):
            await dead_letter(bus, delivery, reason)
            await bus.publish(delivery.message.reply, b"+TERM")
        case _:
            assert_never(outcome)


async def dead_letter(bus: Bus, delivery: Delivery, reason: str) -> None:
    """Keep a message as a dead letter; a repeat is one letter."""
    letter = DeadLetter(
        stream=delivery.stream,
        consumer=delivery.consumer,
        subject=delivery.subject,
        sequence=delivery.sequence,
        deliveries=delivery.deliveries,
        reason=reason,
        payload=delivery.payload.decode("utf-8", "replace"),
        at=time.time(),
    )
    await bus.append(
        subjects.dead_letter(delivery.stream, delivery.consumer),
        codec.encode(letter),
        message_id=f"dead-{delivery.stream}-{delivery.consumer}-{delivery.sequence}",
    )
    _DEAD_LETTERS.labels(delivery.consumer).inc()
    _log.error("delivery.dead_letter", subject=delivery.subject, sequence=delivery.sequence, reason=reason)

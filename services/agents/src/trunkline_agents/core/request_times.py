"""The times in a request, which its sender's clock made, as times of the clock of this process."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace
from trunkline_protocols.turn import AnswerTurn, WorkMessage

_MIN_AGE_S: Final = -0.5
_MAX_AGE_S: Final = 2.0
"""Ages between these are taken as they are: clocks of hosts that are kept in time differ by milliseconds."""


def age_s(message: WorkMessage, now: float) -> float | None:
    """Return the age of a request by the sender's clock; None if it does not say when it was sent."""
    sent_at = _sent_at(message)
    return now - sent_at if sent_at else None


def is_doubtful(age_s: float) -> bool:
    """Return whether an age may be a difference of two clocks instead of a time in the queue."""
    return not _MIN_AGE_S <= age_s <= _MAX_AGE_S


def with_age(message: WorkMessage, age_s: float, now: float) -> WorkMessage:
    """Return a request whose times are those of a clock that reads `now`, given its age; their distances stay."""
    shift_s = now - age_s - _sent_at(message)
    match message:
        case AnswerTurn():
            return replace(
                message,
                dispatched_at=message.dispatched_at + shift_s,
                deadline_at=message.deadline_at + shift_s,
                due_at=message.due_at + shift_s if message.due_at else 0.0,
            )
        case _:
            return replace(
                message, requested_at=message.requested_at + shift_s, deadline_at=message.deadline_at + shift_s
            )


def _sent_at(message: WorkMessage) -> float:
    return message.dispatched_at if isinstance(message, AnswerTurn) else message.requested_at

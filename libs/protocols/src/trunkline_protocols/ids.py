"""Identifiers: one NATS subject token each, so that an id can never widen or break a subject."""

from __future__ import annotations

import re
from typing import Final, NewType
from zlib import crc32

from trunkline_protocols.wire import Record

ConversationId = NewType("ConversationId", str)
TurnId = NewType("TurnId", str)
Specialty = NewType("Specialty", str)
Instance = NewType("Instance", str)
"""The name of one running process, such as `agents-billing-1`; stable over its restarts."""

EVERY_INGRESS: Final = Instance("all")
"""Addressed where nobody knows which ingress holds a conversation's socket."""

PARTITIONS: Final = 64
"""Partitions of the conversation key space. Part of every subject, so changing it means a migration."""

SLOTS: Final = 8
"""Groups of partitions; a slot is the unit in which conversation processes share the work."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class InvalidIdError(ValueError):
    """A value is not usable as one subject token."""

    def __init__(self, what: str, value: object) -> None:
        """Keep the fields for the caller; the message is for people."""
        super().__init__(f"{what} must be 1 to 64 of A-Z a-z 0-9 _ -, got {str(value)[:80]!r}")
        self.what = what
        self.value = value


def token(value: str, what: str) -> str:
    """Return `value` when it is one subject token, else raise `InvalidIdError` naming `what`."""
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise InvalidIdError(what, value)
    return value


def conversation_id(random_hex: str) -> ConversationId:
    """Make a conversation id from at least 16 random hex digits drawn by the caller."""
    return ConversationId(token(f"c{random_hex}", "conversation"))


def turn_id(conversation: ConversationId, inbox_seq: int) -> TurnId:
    """Name the turn that answers one inbox message: the same on every redelivery."""
    return TurnId(f"{conversation}-{inbox_seq}")


def partition_of(conversation: ConversationId) -> int:
    """Partition of a conversation, 0 to 63: stable over processes, versions and machines."""
    return crc32(conversation.encode()) % PARTITIONS


def slot_of(partition: int) -> int:
    """Slot of a partition, 0 to 7."""
    return partition % SLOTS


class TurnRef(Record, frozen=True, kw_only=True):
    """Identify one unit of work of a turn, so that a late result can be told from a current one."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    """1 at first, the next when the turn is dispatched again; results of an earlier attempt are dropped."""
    hop: int
    """Number of times this turn has changed its specialty."""
    epoch: int = 0
    """Number of times the conversation has changed its owner; results of an earlier epoch are dropped."""

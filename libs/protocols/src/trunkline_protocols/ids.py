"""Identifiers, each a single NATS subject token, so that an id can never widen or break a subject."""

from __future__ import annotations

import re
from typing import Final, NewType
from zlib import crc32

from trunkline_protocols.wire import Record

ConversationId = NewType("ConversationId", str)
TurnId = NewType("TurnId", str)
Specialty = NewType("Specialty", str)
Instance = NewType("Instance", str)
"""Name of one process, such as `agents-billing-1`; stable across restarts."""

EVERY_INGRESS: Final = Instance("all")
"""Address of all ingresses, used if the one with the conversation's socket is unknown."""

PARTITIONS: Final = 64
"""Number of partitions of the conversation key space. Part of every subject: changing it requires a migration."""

SLOTS: Final = 8
"""Number of slots; a slot is a group of partitions, the unit of ownership among conversation processes."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class InvalidIdError(ValueError):
    """The value is not a valid subject token."""

    quotes_input = True

    def __init__(self, name: str, value: object) -> None:
        """Keep the fields for the caller; the message is for people."""
        super().__init__(f"{name} must be 1 to 64 of A-Z a-z 0-9 _ -, got {str(value)[:80]!r}")
        self.name = name
        self.value = value


def token(value: str, name: str) -> str:
    """Return `value` if it is one subject token, else raise `InvalidIdError` with `name`."""
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise InvalidIdError(name, value)
    return value


def conversation_id(random_hex: str) -> ConversationId:
    """Return a conversation id made of at least 16 random hex digits from the caller."""
    return ConversationId(token(f"c{random_hex}", "conversation"))


def turn_id(conversation: ConversationId, inbox_seq: int) -> TurnId:
    """Return the id of the turn that answers an inbox message; identical on every redelivery."""
    return TurnId(f"{conversation}-{inbox_seq}")


def partition_of(conversation: ConversationId) -> int:
    """Return the partition of a conversation, 0 to 63; stable across processes, versions and machines."""
    return crc32(conversation.encode()) % PARTITIONS


def slot_of(partition: int) -> int:
    """Return the slot of a partition, 0 to 7."""
    return partition % SLOTS


class TurnRef(Record, frozen=True, kw_only=True):
    """Identity of one unit of work of a turn, which distinguishes late results from current ones."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    """Attempt number from 1, incremented on every retry; results of earlier attempts are dropped."""
    hop: int
    """Number of times this turn has changed its specialty."""
    epoch: int = 0
    """Number of times the conversation has changed its owner; results of an earlier epoch are dropped."""

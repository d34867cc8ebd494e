"""Steps of a trace."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec
from trunkline_protocols.desk import SlotMessage

from trunkline_ingress.core.trace.proof import TraceProof

Detail: TypeAlias = dict[str, object]


class InboxEntry(NamedTuple):
    """A message stored in the inbox, with subject and sequence."""

    subject: str
    sequence: int
    message: SlotMessage


class TraceStep(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `at` in Unix seconds, `ms` = duration of the step, `summary` = one English sentence."""

    at: float
    from_: str = msgspec.field(name="from")
    to: str
    subject: str = ""
    type: str
    ms: float = 0.0
    summary: str
    detail: Detail
    stream: str = ""
    """Stream of the stored message that the step is from, and its sequence there."""
    sequence: int = 0
    leaf: int | None = None
    """Number of that message in the tree of records; null if it is not proven."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """All steps of a conversation, in time order."""

    conversation: str
    steps: list[TraceStep]
    archives: list[str] = []
    """Names of the archives that the conversation was read from; empty if the streams have all of it."""
    proof: TraceProof | None = None


def fields_of(message: msgspec.Struct) -> Detail:
    """Return the fields of a message or event without its tag."""
    fields: Detail = msgspec.to_builtins(message)
    fields.pop(str(message.__struct_config__.tag_field), None)
    return fields


def tag_of(message: msgspec.Struct) -> str:
    """Return the wire tag of a message."""
    return str(message.__struct_config__.tag)

"""Messages between ingress and audit: the records of an archived conversation."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.refusal import Refused
from trunkline_protocols.wire import Record, Wire


class ReadArchived(Wire, frozen=True, kw_only=True, tag="archive.read"):
    """Request for the archived records of a conversation behind a place in the tree of records."""

    conversation: ConversationId
    after: int = -1
    """Leaf of the last record that the caller has."""


class ArchivedRecord(Record, frozen=True, kw_only=True):
    """One message as its stream held it. `at` in Unix seconds, when the stream stored it."""

    leaf: int
    stream: str
    sequence: int
    subject: str
    at: float
    payload: bytes


class ArchivedRecords(Wire, frozen=True, kw_only=True, tag="archive.records"):
    """Reply with records in the order of their leaves; without any if the conversation is not archived."""

    conversation: ConversationId
    records: list[ArchivedRecord] = []
    archives: list[str] = []
    """Names of the archives that the records come from."""
    has_more: bool = False
    """If true, further records follow the last one."""


ArchiveReply: TypeAlias = ArchivedRecords | Refused

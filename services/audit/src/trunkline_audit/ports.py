"""Ports of recording and of retention.

Of recording: feeds of streams, and an archive. Both may fail at any moment and are then reopened. Of heads: their
stream, and the archive that has them too. Of retention: the records in PostgreSQL, the streams, the legal holds, and
the object store of the archives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from trunkline_protocols.archives import (
    ArchivedRecords,
    ConversationsListed,
    ListConversations,
    ProveRecords,
    ReadArchived,
    RecordsProven,
)
from trunkline_protocols.holds import HoldMessage

from trunkline_audit.core.heads import TreeHead
from trunkline_audit.core.records import ArchiveRow, AuditedMessage
from trunkline_audit.core.retention.decisions import RecordGroup
from trunkline_audit.core.retention.manifest import ArchiveObject, ArchiveRun
from trunkline_audit.core.retention.trimming import PendingRecord, StoredKey


class ArchiveUnavailableError(Exception):
    """The archive cannot be written; the batch is not stored, or its acknowledgement was lost."""


class ArchiveLockedError(ArchiveUnavailableError):
    """Another audit process writes this archive; this process is on standby."""


class ArchiveElsewhereError(ArchiveUnavailableError):
    """The database holds the records of another region; an operator must name another one."""

    def __init__(self, home: str, region: str) -> None:
        """`home` is the region of the database, `region` that of the process."""
        super().__init__(
            f"this database holds records of region {home!r}: region {region!r} needs a database or schema of its own"
        )
        self.home = home


class ArchiveDamagedError(Exception):
    """An object of an archive does not have the bytes of a record; the message names both, no text."""


class AuthorityUnavailableError(Exception):
    """A timestamp authority does not answer, or not with the token of the request."""


class FeedBrokenError(Exception):
    """Deliveries may have been lost: the feed must be reopened to receive them in order."""


@dataclass(frozen=True, slots=True)
class FeedItem:
    """A delivered message and the subject for its acknowledgement."""

    message: AuditedMessage
    ack_subject: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """The unacknowledged messages of a stream: their number, and the time at which the oldest was stored."""

    messages: int
    oldest: datetime | None


class Feed(Protocol):
    """The messages of one stream, in order and without gaps since the feed was opened."""

    async def receive(self) -> Sequence[FeedItem]:
        """Wait for messages and return them; an empty batch once the feed is drained."""
        ...

    async def acknowledge(self, items: Sequence[FeedItem]) -> None:
        """Acknowledge messages that are stored."""
        ...

    def drain(self) -> None:
        """Request no more messages; the delivered ones can still be received."""
        ...


class Feeds(Protocol):
    """The recorded streams."""

    @property
    def streams(self) -> Sequence[str]:
        """Their names."""
        ...

    def open(self, stream: str, *, position: int) -> AbstractAsyncContextManager[Feed]:
        """Open a feed at the first unacknowledged message, or after `position` if that is earlier."""
        ...

    async def backlog(self, stream: str) -> Backlog:
        """Return the part of a stream that is not recorded yet."""
        ...


class ArchiveWriter(Protocol):
    """The only session that writes to an archive."""

    async def position(self, stream: str) -> int:
        """Return the sequence up to which the archive is complete, 0 for an empty one."""
        ...

    async def hold(self) -> None:
        """Stay the only writer until cancelled; raises `ArchiveLockedError` if another process has become it."""
        ...

    async def sign_heads(self) -> None:
        """Sign heads of the tree of records until cancelled."""
        ...

    async def write(self, rows: Sequence[ArchiveRow]) -> int:
        """Store rows of one stream, in order, and its new position atomically; return the number of new rows."""
        ...


class Archive(Protocol):
    """The store of recorded messages."""

    def open(self) -> AbstractAsyncContextManager[ArchiveWriter]:
        """Become the only writer and migrate the schema; raises `ArchiveUnavailableError` if that fails."""
        ...


# -- heads ---


class HeadStream(Protocol):
    """The stream of signed heads. Raises `BusError`."""

    async def last(self) -> TreeHead | None:
        """Return the last head, None without one."""
        ...

    async def publish(self, head: TreeHead) -> None:
        """Append a head; it is stored when this returns."""
        ...


@dataclass(frozen=True, slots=True)
class Timestamp:
    """The token of a timestamp authority, and its time."""

    at: datetime
    token: bytes
    """The whole reply (RFC 3161), in DER."""


@dataclass(frozen=True, slots=True)
class StampedHead:
    """A head with a timestamp, of the time `at`."""

    size: int
    at: datetime


class TimestampAuthority(Protocol):
    """A timestamp authority."""

    async def stamp(self, data: bytes) -> Timestamp:
        """Return a token of some data; raises `AuthorityUnavailableError`."""
        ...


class TimestampStore(Protocol):
    """The timestamps of the archive. Raises `ArchiveUnavailableError`."""

    async def last(self) -> StampedHead | None:
        """Return the last head with a timestamp."""
        ...

    async def add(self, head: TreeHead, timestamp: Timestamp) -> None:
        """Store the timestamp of a head."""
        ...


class HeadSource(Protocol):
    """The signed heads of the archive. Raises `ArchiveUnavailableError`."""

    async def has(self, head: TreeHead) -> bool:
        """Return whether the archive has a head of that size with that root."""
        ...

    async def since(self, head: TreeHead, limit: int) -> list[TreeHead]:
        """Return the heads that are larger or later than one, the earliest first."""
        ...


# -- retention ---

TrimOutcome = Literal["trimmed", "waiting"]
"""`waiting`: a consumer has not acknowledged a message yet, or the archive does not have it."""


class RetentionSession(Protocol):
    """The records, for one run of retention."""

    async def hold(self) -> None:
        """Stay the only run until cancelled; raises `ArchiveLockedError` if another one has begun."""
        ...

    async def header(self, size: int = 0) -> list[dict[str, Any]]:
        """Return log and head of an export, by default of the latest head; empty if there is no head."""
        ...

    def groups(
        self, size: int, *, closed_before: datetime | None, single_before: datetime | None
    ) -> AsyncIterator[Sequence[RecordGroup]]:
        """Yield the records below a head that are not archived, in groups: conversations, then single ones.

        Only conversations that were closed, and single records that were stored before a time; none without it.
        """
        ...

    async def holds(self) -> Sequence[HoldMessage]:
        """Return the recorded holds and releases."""
        ...

    async def records(self, groups: Sequence[RecordGroup], size: int) -> list[dict[str, Any]]:
        """Return the records of groups with their proofs, as entries of an export, by conversation and leaf."""
        ...

    async def unverified(self) -> ArchiveRun | None:
        """Return the run that was interrupted before its archive was verified."""
        ...

    async def start(self, run: ArchiveRun) -> None:
        """Store a new run."""
        ...

    async def objects(self, run: ArchiveRun) -> list[ArchiveObject]:
        """Return the objects of a run, in order."""
        ...

    async def add_object(
        self, run: ArchiveRun, number: int, written: ArchiveObject, groups: Sequence[RecordGroup], leaves: Sequence[int]
    ) -> None:
        """Store that records are in an object."""
        ...

    async def set_verified(self, run: ArchiveRun, at: datetime) -> None:
        """Store that the archive of a run was read back and verified: its records may be trimmed."""
        ...

    def pending(self) -> AsyncIterator[Sequence[PendingRecord]]:
        """Yield the records of verified archives that still have their bytes, whole conversations at a time."""
        ...

    async def stored(self, conversations: Sequence[str]) -> frozenset[StoredKey]:
        """Return the records of conversations that verified archives have."""
        ...

    async def trim(self, records: Sequence[PendingRecord], at: datetime) -> int:
        """Remove the bytes of records, if a verified archive has them; return their number."""
        ...

    async def expired_markers(self, before: datetime) -> list[tuple[str, str]]:
        """Return some conversations that were trimmed before a time and still have a marker, with their regions."""
        ...

    async def set_marker_purged(self, conversations: Sequence[str]) -> None:
        """Store that the markers of conversations are gone."""
        ...


class RetentionArchive(Protocol):
    """The store of records, as retention uses it."""

    def open(self, *, locked: bool) -> AbstractAsyncContextManager[RetentionSession]:
        """Open a session, `locked` as the only run; raises `ArchiveUnavailableError`."""
        ...


class StreamTrimmer(Protocol):
    """The streams of conversations."""

    async def trim(self, region: str, conversation: str, stored: frozenset[StoredKey]) -> TrimOutcome:
        """Purge the messages of a conversation that an archive has, except the last commit."""
        ...

    async def purge_marker(self, region: str, conversation: str, stored: frozenset[StoredKey]) -> TrimOutcome:
        """Purge the last commit too, if an archive has it."""
        ...

    async def holds(self) -> Sequence[HoldMessage]:
        """Read the holds and releases in their stream; raises an error if one cannot be read."""
        ...


class ArchiveObjects(Protocol):
    """The object store of archives. Raises the errors of object stores in the chassis."""

    @property
    def location(self) -> str:
        """Folder or URL."""
        ...

    async def put_once(self, name: str, payload: bytes) -> None:
        """Write an object that must not exist with other bytes."""
        ...

    async def get(self, name: str) -> bytes:
        """Read an object."""
        ...


class ConversationIndex(Protocol):
    """Conversations by customer, for the operators."""

    async def list(self, request: ListConversations) -> ConversationsListed:
        """Return a page of conversations; raises `ArchiveUnavailableError`."""
        ...


class ProofSource(Protocol):
    """Proofs of records, for the operators."""

    async def prove(self, request: ProveRecords) -> RecordsProven:
        """Return the proven records of a conversation; raises `ArchiveUnavailableError`."""
        ...


class ArchivedRecordSource(Protocol):
    """Archived conversations, for the operators."""

    async def read(self, request: ReadArchived) -> ArchivedRecords:
        """Return records; raises `ArchiveUnavailableError`, `ArchiveDamagedError` and errors of object stores."""
        ...

"""Ports of recording: feeds of streams, and an archive. Both may fail at any moment and are then reopened."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trunkline_audit.core.records import ArchiveRow, AuditedMessage


class ArchiveUnavailableError(Exception):
    """The archive cannot be written; the batch is not stored, or its acknowledgement was lost."""


class ArchiveLockedError(ArchiveUnavailableError):
    """Another audit process writes this archive; this process is on standby."""


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

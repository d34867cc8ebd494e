"""What recording needs: feeds of streams, and an archive. Both may fail at any moment; both are then opened anew."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trunkline_audit.core.records import Message, Row


class ArchiveUnavailableError(Exception):
    """The archive takes nothing now; nothing of the batch is in it, or its acknowledgement was lost."""


class ArchiveTakenError(ArchiveUnavailableError):
    """Another audit process writes this archive; this one stands by."""


class FeedBrokenError(Exception):
    """Messages may have been lost on their way here: the feed must be opened anew to have them in order."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivered message and where it is acknowledged."""

    message: Message
    reply: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one stream holds that has not been acknowledged; `oldest` is when the first of it was stored."""

    messages: int
    oldest: datetime | None


class Feed(Protocol):
    """One stream's messages, in order and without gaps since it was opened."""

    async def take(self) -> Sequence[Arrival]:
        """Wait for messages and return them; an empty batch when the feed is drained."""
        ...

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Say that these are kept for ever."""
        ...

    def drain(self) -> None:
        """Ask for nothing more; what is here can still be taken."""
        ...


class Feeds(Protocol):
    """The streams that are recorded."""

    @property
    def streams(self) -> Sequence[str]:
        """Their names."""
        ...

    def open(self, stream: str, *, position: int) -> AbstractAsyncContextManager[Feed]:
        """Feed one stream from its first unacknowledged message, or from after `position` when that is earlier."""
        ...

    async def backlog(self, stream: str) -> Backlog:
        """Ask how much of a stream is not recorded yet."""
        ...


class Writer(Protocol):
    """The one session that writes an archive."""

    async def position(self, stream: str) -> int:
        """Return the sequence up to which the archive has everything of a stream, 0 for nothing."""
        ...

    async def write(self, rows: Sequence[Row]) -> int:
        """Keep rows of one stream, in order, and its new position, all or nothing; return how many were new."""
        ...


class Archive(Protocol):
    """Where messages are kept."""

    def open(self) -> AbstractAsyncContextManager[Writer]:
        """Become the one writer of an archive that is up to date; raise `ArchiveUnavailableError` when impossible."""
        ...

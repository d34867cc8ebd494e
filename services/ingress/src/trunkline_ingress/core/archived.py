"""An archived conversation: its messages and commits, as the streams held them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trunkline_protocols.log import CommitStored

from trunkline_ingress.core.trace import InboxEntry, RecordKey, ViewEntry


@dataclass(frozen=True, slots=True)
class ArchivedConversation:
    """The archived messages and commits of a conversation, and the names of the archives that have them."""

    entries: Sequence[InboxEntry] = ()
    log: Sequence[CommitStored] = ()
    archives: Sequence[str] = ()
    views: Sequence[ViewEntry] = ()
    hashes: Mapping[RecordKey, str] = field(default_factory=dict)
    """SHA-256 of the bytes of each record, in hex."""

    def messages(self, live: Iterable[InboxEntry]) -> list[InboxEntry]:
        """Return the messages of customer and desk, with the live ones that are not archived."""
        found = {entry.sequence: entry for entry in (*live, *self.entries)}
        return [found[sequence] for sequence in sorted(found)]

    def commits(self, live: Iterable[CommitStored]) -> list[CommitStored]:
        """Return the commits, with the live ones that are not archived."""
        found = {stored.sequence: stored for stored in (*live, *self.log)}
        return [found[sequence] for sequence in sorted(found)]

    def all_views(self, live: Iterable[ViewEntry]) -> list[ViewEntry]:
        """Return the views of operators, with the live ones that are not archived."""
        found = {entry.sequence: entry for entry in (*live, *self.views)}
        return [found[sequence] for sequence in sorted(found)]


def is_trimmed(commits: Sequence[CommitStored]) -> bool:
    """Return whether a log has lost its beginning."""
    return bool(commits) and commits[0].commit.previous > 0

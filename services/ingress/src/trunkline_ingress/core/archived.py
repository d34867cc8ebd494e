"""An archived conversation: its messages and commits, as the streams held them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trunkline_protocols import codec
from trunkline_protocols.archives import ArchivedRecord
from trunkline_protocols.log import CommitStored
from trunkline_protocols.streams import CONVERSATIONS, INBOX

from trunkline_ingress.core.trace.steps import InboxEntry


@dataclass(frozen=True, slots=True)
class ArchivedConversation:
    """The archived records of a conversation, and the names of the archives that have them."""

    records: Sequence[ArchivedRecord] = ()
    archives: Sequence[str] = ()

    def messages(self, live: Iterable[InboxEntry]) -> list[InboxEntry]:
        """Return the messages of customer and desk, with the live ones that are not archived."""
        found = {entry.sequence: entry for entry in live}
        for record in self.records:
            if record.stream == INBOX.name:
                with contextlib.suppress(codec.DecodeError):
                    message = codec.slot.decode(record.payload)
                    found[record.sequence] = InboxEntry(record.subject, record.sequence, message)
        return [found[sequence] for sequence in sorted(found)]

    def commits(self, live: Iterable[CommitStored]) -> list[CommitStored]:
        """Return the commits, with the live ones that are not archived."""
        found = {stored.sequence: stored for stored in live}
        for record in self.records:
            if record.stream == CONVERSATIONS.name:
                commit = codec.commit.decode(record.payload)
                found[record.sequence] = CommitStored(sequence=record.sequence, commit=commit)
        return [found[sequence] for sequence in sorted(found)]


def is_trimmed(commits: Sequence[CommitStored]) -> bool:
    """Return whether a log has lost its beginning."""
    return bool(commits) and commits[0].commit.previous > 0

"""Which messages of a subject may be purged: those that an archive has, up to the first one that it lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from trunkline_audit.core.retention.policy import KIND_OF_STREAM, RecordKind


class StoredKey(NamedTuple):
    """Identity of a record: stream, sequence, and SHA-256 of its bytes. A re-created stream numbers from 1 again."""

    stream: str
    sequence: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class PendingRecord:
    """A record of a verified archive that still has its bytes; conversation, tenant or customer may be unknown."""

    leaf: int
    stream: str
    region: str | None
    conversation: str | None
    tenant: str | None
    customer: str | None

    @property
    def kind(self) -> RecordKind:
        """Return its kind."""
        return KIND_OF_STREAM[self.stream]


def purge_before(messages: Iterable[StoredKey], stored: frozenset[StoredKey], *, floor: int, keep_last: bool) -> int:
    """Return the sequence before which a subject may be purged, 0 for nothing.

    `messages` are those of the subject, in order; none above `floor` is purged, nor the last one with `keep_last`.
    """
    listed = list(messages)
    purgeable = listed[:-1] if keep_last else listed
    before = 0
    for message in purgeable:
        if message not in stored or message.sequence > floor:
            break
        before = message.sequence + 1
    return before

"""The leaf of a record: the bytes that its place in the tree of records vouches for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from trunkline_audit.core.merkle import leaf_hash
from trunkline_audit.core.records import ArchiveRow

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(at: datetime) -> int:
    """Return a time in microseconds since 1970, as the archive holds it."""
    return (at - _EPOCH) // _MICROSECOND


def leaf_data(row: ArchiveRow) -> bytes:
    """Return the leaf of a record. The other columns follow from the subject and the bytes, which it covers."""
    fields = (
        "trunkline record 1",
        row.stream,
        str(row.sequence),
        str(microseconds(row.at)),
        str(microseconds(row.received_at)),
        row.subject,
        row.sha256.hex(),
    )
    return "\n".join(fields).encode()


def hash_of_row(row: ArchiveRow) -> bytes:
    """Return the leaf hash of a record."""
    return leaf_hash(leaf_data(row))

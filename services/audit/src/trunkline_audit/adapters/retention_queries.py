"""SQL of retention, and values of its rows."""

from __future__ import annotations

from typing import Final

import asyncpg
import msgspec
from trunkline_protocols.decoding import DecodeError, Decoder

from trunkline_audit.adapters.tree_reader import RECORD_FIELDS
from trunkline_audit.core.retention.manifest import ArchiveObject

CLOSED: Final = """
SELECT DISTINCT conversation FROM messages
WHERE archived IS NULL AND stream = 'CONVERSATIONS' AND subject LIKE 'conv.%.closed'
AND leaf < $1 AND at <= $2 AND conversation > $3
ORDER BY conversation LIMIT $4
"""
REMAINDERS: Final = """
SELECT conversation FROM archived_conversations AS known
WHERE has_marker AND conversation > $3 AND EXISTS (
    SELECT FROM messages
    WHERE messages.conversation = known.conversation AND archived IS NULL AND stream IN ('INBOX', 'CONVERSATIONS')
    AND leaf < $1 AND at <= $2
)
AND NOT EXISTS (
    SELECT FROM messages
    WHERE messages.conversation = known.conversation AND archived IS NULL AND stream = 'CONVERSATIONS'
    AND subject LIKE 'conv.%.closed'
)
ORDER BY conversation LIMIT $4
"""
"""Archived conversations with further records: a late message, or another kind that is kept longer."""
OF_CONVERSATIONS: Final = """
SELECT
    conversation, stream, max(region) AS region, max(at) AS last_at,
    min(at) FILTER (WHERE archived IS NULL) AS first_at,
    count(*) FILTER (WHERE archived IS NULL) AS records,
    coalesce(sum(octet_length(raw)) FILTER (WHERE archived IS NULL), 0)::bigint AS bytes,
    bool_and(coalesce(leaf < $2, false)) AS signed
FROM messages WHERE conversation = ANY($1) AND stream IN ('INBOX', 'CONVERSATIONS')
GROUP BY conversation, stream ORDER BY conversation, stream
"""
SINGLE: Final = """
SELECT leaf, stream, region, conversation, at, octet_length(raw) AS bytes FROM messages
WHERE archived IS NULL AND stream IN ('NOTICES', 'DEAD_LETTERS', 'VIEWS') AND leaf < $1 AND at < $2 AND leaf > $3
ORDER BY leaf LIMIT $4
"""
PARTIES: Final = """
SELECT DISTINCT ON (conversation) conversation, raw FROM messages
WHERE conversation = ANY($1) AND stream IN ('CONVERSATIONS', 'INBOX') AND raw IS NOT NULL
ORDER BY conversation, stream, sequence DESC
"""
KNOWN_PARTIES: Final = """
SELECT conversation, tenant, customer FROM archived_conversations WHERE conversation = ANY($1)
"""
RECORDS: Final = f"""
SELECT leaf, {RECORD_FIELDS} FROM messages
WHERE archived IS NULL AND leaf < $4
AND ((conversation, stream) IN (SELECT * FROM unnest($1::text[], $2::text[])) OR leaf = ANY($3::bigint[]))
"""  # noqa: S608 - the column names are fields of a type
UNVERIFIED: Final = """
SELECT name, as_of, size, location FROM archive_runs WHERE verified_at IS NULL ORDER BY name LIMIT 1
"""
START: Final = "INSERT INTO archive_runs (name, as_of, size, location) VALUES ($1, $2, $3, $4)"
OBJECTS: Final = """
SELECT name, sha256, bytes, records, first_leaf, last_leaf FROM archive_objects WHERE run = $1 ORDER BY number
"""
ADD_OBJECT: Final = """
INSERT INTO archive_objects (run, number, name, sha256, bytes, records, first_leaf, last_leaf)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
"""
MARK: Final = "UPDATE messages SET archived = $1 WHERE leaf = ANY($2::bigint[]) AND archived IS NULL"
ADD_CONVERSATION: Final = """
INSERT INTO archived_conversations (conversation, region, tenant, customer) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""
_VERIFIED: Final = """
SELECT id FROM archive_objects JOIN archive_runs ON archive_runs.name = run WHERE verified_at IS NOT NULL
"""
PENDING_OBJECTS: Final = f"""
SELECT DISTINCT archived FROM messages
WHERE archived IS NOT NULL AND raw IS NOT NULL AND archived IN ({_VERIFIED}) ORDER BY archived
"""  # noqa: S608 - constants
PENDING: Final = """
SELECT leaf, stream, region, conversation FROM messages
WHERE archived = $1 AND archived IS NOT NULL AND raw IS NOT NULL ORDER BY conversation, leaf
"""
STORED: Final = f"""
SELECT stream, sequence, sha256 FROM messages WHERE conversation = ANY($1) AND archived IN ({_VERIFIED})
"""  # noqa: S608 - constants
TRIM: Final = f"""
UPDATE messages SET raw = NULL, payload = NULL
WHERE leaf = ANY($1::bigint[]) AND raw IS NOT NULL AND archived IN ({_VERIFIED})
"""  # noqa: S608 - constants
SET_TRIMMED: Final = """
UPDATE archived_conversations SET trimmed_at = $2, has_marker = true WHERE conversation = ANY($1::text[])
"""
EXPIRED_MARKERS: Final = """
SELECT conversation, region FROM archived_conversations AS known
WHERE has_marker AND trimmed_at < $1 AND NOT EXISTS (
    SELECT FROM messages
    WHERE messages.conversation = known.conversation AND archived IS NULL AND stream IN ('INBOX', 'CONVERSATIONS')
)
ORDER BY trimmed_at LIMIT $2
"""
SET_MARKER_PURGED: Final = "UPDATE archived_conversations SET has_marker = false WHERE conversation = ANY($1::text[])"


class _Parties(msgspec.Struct):
    tenant: str | None = None
    customer: str | None = None


_parties: Final[Decoder[_Parties]] = Decoder(_Parties)


def parties_of(raw: bytes) -> tuple[str | None, str | None]:
    """Return tenant and customer of a message, None for a missing one."""
    try:
        found = _parties.decode(raw)
    except DecodeError:
        return None, None
    return found.tenant, found.customer


def object_of_record(record: asyncpg.Record) -> ArchiveObject:
    """Return an object of a run."""
    return ArchiveObject(**dict(record))

"""Conversations of a customer, found by an index instead of reading the log of a region."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.archives import ConversationsListed, ListConversations
from trunkline_protocols.streams import CONVERSATIONS

from trunkline_audit.adapters.session import connected, map_errors

_LIST: Final = """
SELECT conversation FROM (
    SELECT conversation FROM messages
    WHERE stream = 'CONVERSATIONS' AND payload ->> 'previous' = '0' AND region = $1
    AND left(payload ->> 'customer', 200) = left($3, 200) AND left(payload ->> 'tenant', 200) = left($2, 200)
    AND payload ->> 'customer' = $3 AND payload ->> 'tenant' = $2
    UNION
    SELECT conversation FROM messages
    WHERE stream = 'CONVERSATIONS' AND payload IS NULL AND raw IS NOT NULL AND region = $1
    UNION
    SELECT conversation FROM archived_conversations
    WHERE region = $1 AND (customer = $3 OR customer IS NULL) AND (tenant = $2 OR tenant IS NULL)
) AS found
WHERE conversation > $4 ORDER BY conversation LIMIT $5
"""
"""A conversation whose customer is unknown here is among them: the caller reads it, and finds its customer."""
_POSITION: Final = """
SELECT positions.sequence, encode(sha256, 'hex') AS sha256
FROM positions LEFT JOIN messages USING (stream, sequence, at)
WHERE stream = $1
"""
_SKIPPED: Final = "SELECT count(*) FROM skipped WHERE stream = $1"
_PAGE: Final = 2_000


class PostgresCustomerIndex:
    """Lists the conversations of one customer in one region."""

    def __init__(self, dsn: str, region: str) -> None:
        """`dsn` is the address of PostgreSQL."""
        self._dsn = dsn
        self._region = region

    async def list(self, request: ListConversations) -> ConversationsListed:
        """Return a page of conversations; raises `ArchiveUnavailableError`."""
        customer, tenant = (
            name.replace("\0", "\N{REPLACEMENT CHARACTER}") for name in (request.customer, request.tenant)
        )
        async with connected(self._dsn) as connection:
            # The position first: a conversation that is recorded in between is listed, and read again by the caller.
            with map_errors():
                position = await connection.fetchrow(_POSITION, CONVERSATIONS.name)
                skipped = await connection.fetchval(_SKIPPED, CONVERSATIONS.name)
                found = await connection.fetch(_LIST, self._region, tenant, customer, request.after, _PAGE)
        return ConversationsListed(
            conversations=[each["conversation"] for each in found],
            recorded=position["sequence"] if position is not None else 0,
            sha256=(position["sha256"] or "") if position is not None else "",
            skipped=skipped,
            has_more=len(found) == _PAGE,
        )

"""The timestamps of heads in PostgreSQL."""

from __future__ import annotations

from typing import Final

from trunkline_audit.adapters.session import connected, map_errors
from trunkline_audit.core.heads import TreeHead
from trunkline_audit.ports import StampedHead, Timestamp

_LAST: Final = "SELECT size, at FROM tree_timestamps ORDER BY at DESC, size DESC LIMIT 1"
_ADD: Final = "INSERT INTO tree_timestamps (size, root, at, token) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"


class PostgresTimestamps:
    """Reads and writes on a connection of its own each time: that is once an hour by default."""

    def __init__(self, dsn: str) -> None:
        """Connect when needed."""
        self._dsn = dsn

    async def last(self) -> StampedHead | None:
        """Return size and time of the last head with a timestamp."""
        async with connected(self._dsn) as connection:
            with map_errors():
                found = await connection.fetchrow(_LAST)
        return StampedHead(found["size"], found["at"]) if found is not None else None

    async def add(self, head: TreeHead, timestamp: Timestamp) -> None:
        """Store the timestamp of a head."""
        async with connected(self._dsn) as connection:
            with map_errors():
                await connection.execute(_ADD, head.size, head.root, timestamp.at, timestamp.token)

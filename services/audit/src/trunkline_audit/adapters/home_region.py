"""The region that a database belongs to: one per database or schema, claimed by the first process that writes."""

from __future__ import annotations

from typing import Final

import asyncpg

from trunkline_audit.ports import ArchiveElsewhereError

_EXISTS: Final = "SELECT to_regclass('home_region') IS NOT NULL"
_HOME: Final = "SELECT region FROM home_region"
_CLAIM: Final = "INSERT INTO home_region (region) VALUES ($1) ON CONFLICT DO NOTHING"
_RECENT: Final = """
SELECT region FROM (SELECT region FROM messages ORDER BY leaf DESC NULLS LAST LIMIT 1000) AS recent
WHERE region <> $1 LIMIT 1
"""
"""Records from before the claim; the whole table has no index by region."""


async def claim_home(connection: asyncpg.Connection, region: str) -> None:
    """Claim a migrated database for a region; raises `ArchiveElsewhereError` if it holds records of another one."""
    home = await connection.fetchval(_HOME) or await connection.fetchval(_RECENT, region)
    if home is None:
        await connection.execute(_CLAIM, region)
        home = await connection.fetchval(_HOME)
    if home != region:
        raise ArchiveElsewhereError(home, region)


async def require_home(connection: asyncpg.Connection, region: str) -> None:
    """Raise `ArchiveElsewhereError` if another region has claimed the database."""
    home = await connection.fetchval(_HOME) if await connection.fetchval(_EXISTS) else None
    if home is not None and home != region:
        raise ArchiveElsewhereError(home, region)

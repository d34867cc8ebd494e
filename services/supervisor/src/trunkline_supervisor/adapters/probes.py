"""Asking a process whether it lives. Any answer counts, also "not now": a refusal is not a fault of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import aiohttp
import asyncpg

from trunkline_supervisor.adapters.postgres import dsn

_TIMEOUT_S: Final = 1.0
_POSTGRES_TIMEOUT_S: Final = 2.0

Probe: TypeAlias = Callable[[], Awaitable[bool]]


async def answers_http(session: aiohttp.ClientSession, url: str) -> bool:
    """Ask for a page."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)):
            return True
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def answers_sql(port: int) -> bool:
    """Ask the embedded PostgreSQL; "starting up" and "too many connections" are answers as well."""
    try:
        async with asyncio.timeout(_POSTGRES_TIMEOUT_S):
            connection = await asyncpg.connect(dsn(port, database="postgres"), ssl=False, timeout=_POSTGRES_TIMEOUT_S)
            try:
                await connection.fetchval("SELECT 1")
            finally:
                connection.terminate()
    except asyncpg.PostgresError:
        return True
    except (asyncpg.InterfaceError, OSError, TimeoutError):
        return False
    return True

"""Asking a process whether it lives. Any answer counts, also "not now": a refusal is not a fault of the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import aiohttp
import asyncpg

from trunkline_supervisor.adapters.disk import has_room
from trunkline_supervisor.adapters.nats_server import NatsNode
from trunkline_supervisor.adapters.postgres import dsn

_TIMEOUT_S: Final = 1.0
_POSTGRES_TIMEOUT_S: Final = 2.0
_LOOK_AT_STREAMS_S: Final = 2.0
_WRITE_ERROR: Final = b"write error"

Probe: TypeAlias = Callable[[], Awaitable[bool]]


async def answers_http(session: aiohttp.ClientSession, url: str) -> bool:
    """Ask for a page."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)):
            return True
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


class AnswersAndWrites:
    """Asks a nats-server for its page, and now and then whether its streams can write.

    A stream whose disk was full refuses everything until the server is started again, also when there is room again.
    While there is none, another start would not help.
    """

    def __init__(self, session: Callable[[], aiohttp.ClientSession], node: NatsNode) -> None:
        """`session` returns the client to ask with."""
        self._session = session
        self._node = node
        self._looked_at = 0.0
        self._writes = True

    async def __call__(self) -> bool:
        """Ask."""
        if not await answers_http(self._session(), self._node.health_url):
            return False
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_AT_STREAMS_S:
            self._looked_at, self._writes = now, await self._can_write()
        return self._writes

    async def _can_write(self) -> bool:
        """What is not known is no reason to end a server."""
        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with self._session().get(self._node.details_url, timeout=timeout) as response:
                stuck = _WRITE_ERROR in await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return True
        return not (stuck and has_room(self._node.folder))


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

"""Health probes. Any answer counts, including an error status: a refusal is not a fault of the process."""

from __future__ import annotations

import time
from typing import Final

import aiohttp

from trunkline_supervisor.adapters.disk import has_free_space
from trunkline_supervisor.adapters.nats_server import NatsNode

_TIMEOUT_S: Final = 1.0
_STREAM_CHECK_INTERVAL_S: Final = 2.0
_WRITE_ERROR: Final = b"write error"


class HttpProbe:
    """Probes over HTTP with one client session."""

    def __init__(self) -> None:
        """The session is opened with the first request."""
        self._session: aiohttp.ClientSession | None = None

    async def answers(self, url: str) -> bool:
        """Return whether a page was answered; any status counts."""
        return await self.get(url) is not None

    async def get(self, url: str) -> bytes | None:
        """Return the body of a page, None if there was no answer within the timeout."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as response:
                return await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()


class NatsProbe:
    """Probes a nats-server: its health page, and periodically if its streams can write.

    A stream whose disk was full refuses all messages until the server is restarted, even after space was freed. While
    the disk is full, a restart would not help.
    """

    def __init__(self, http: HttpProbe, node: NatsNode) -> None:
        """Share the client session of `http`."""
        self._http = http
        self._node = node
        self._streams_checked_at = 0.0
        self._writable = True

    async def __call__(self) -> bool:
        """Return whether the server answers and a restart would not help."""
        if not await self._http.answers(self._node.health_url):
            return False
        now = time.monotonic()
        if now - self._streams_checked_at >= _STREAM_CHECK_INTERVAL_S:
            self._streams_checked_at, self._writable = now, await self._can_write()
        return self._writable

    async def _can_write(self) -> bool:
        """Return False only on evidence: a page that cannot be read is no reason to restart the server."""
        page = await self._http.get(self._node.details_url)
        if page is None:
            return True
        return _WRITE_ERROR not in page or not has_free_space(self._node.folder)

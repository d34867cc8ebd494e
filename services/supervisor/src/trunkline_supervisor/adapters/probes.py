"""Health probes. Any answer counts, including an error status: a refusal is not a fault of the process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

import aiohttp
import msgspec
import nats
import nats.errors
from nats.aio.client import Client
from trunkline_chassis.nats_security import NatsSecurity

from trunkline_supervisor.adapters.disk import has_free_space
from trunkline_supervisor.adapters.nats_server import NatsNode

_TIMEOUT_S: Final = 1.0
_HEALTH: Final = "$SYS.REQ.SERVER.PING.HEALTHZ"
_STREAM_CHECK_INTERVAL_S: Final = 2.0
ENDED_BY_RESTART: Final = (b"write error", b"JetStream not enabled")
"""In the server's report: a stream refuses all messages; the server has left the cluster's storage altogether."""


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


async def _ignore(_: Exception) -> None:
    pass


class NatsProbe:
    """Probes a nats-server over its system account: if it answers, and periodically if its streams can write.

    After its disk was full, a stream refuses all messages, or the server of a cluster keeps no streams any more, until
    it is restarted, even after space was freed. While the disk is full, a restart would not help.
    """

    def __init__(self, node: NatsNode, security: NatsSecurity) -> None:
        """`security` holds the user of the system account; the connection is opened with the first probe."""
        self._node = node
        self._security = security
        self._client: Client | None = None
        self._streams_checked_at = 0.0
        self._writable = True

    async def __call__(self) -> bool:
        """Return whether the server answers and a restart would not help."""
        if await self._request({"js-server-only": True}) is None:
            return False
        now = time.monotonic()
        if now - self._streams_checked_at >= _STREAM_CHECK_INTERVAL_S:
            self._streams_checked_at, self._writable = now, await self._can_write()
        return self._writable

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            client, self._client = self._client, None
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(_TIMEOUT_S):
                    await client.close()

    async def _can_write(self) -> bool:
        """Return False only on evidence: a report that cannot be read is no reason to restart the server."""
        report = await self._request({"details": True})
        if report is None:
            return True
        return not any(error in report for error in ENDED_BY_RESTART) or not has_free_space(self._node.folder)

    async def _request(self, options: dict[str, bool]) -> bytes | None:
        """Return the server's own report, None if it does not answer within the timeout."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if self._client is None or not self._client.is_connected:
                    await self.close()
                    self._client = await nats.connect(
                        **self._security.options(self._node.url),
                        allow_reconnect=False,
                        connect_timeout=_TIMEOUT_S,
                        name="supervisor-probe",
                        error_cb=_ignore,  # the probe itself reports that the server does not answer
                    )
                request = {"server_name": self._node.name, "exact_match": True, **options}
                reply = await self._client.request(_HEALTH, msgspec.json.encode(request), timeout=_TIMEOUT_S)
                return reply.data
        except (nats.errors.Error, OSError, TimeoutError):
            await self.close()
            return None

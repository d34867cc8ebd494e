"""Caps on TCP connections: in total, and by the address of the peer. Silent connections count like all others.

aiohttp closes a connection whose next request has not arrived whole within the keep-alive timeout, so that half-sent
headers end there; it has no cap on the number of connections.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, cast

import structlog
from aiohttp import web
from trunkline_chassis.http_address import http_url

from trunkline_ingress.core.network import Network, client_address, contains

_log: Final = structlog.get_logger(__name__)
_LOG_INTERVAL_S: Final = 10.0
_REFUSAL: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nContent-Type: application/json\r\n"
    b"Content-Length: 45\r\nConnection: close\r\n\r\n"
    b'{"error":"rate_limited","retry_after_s":10.0}'
)


@dataclass(slots=True, kw_only=True)
class ConnectionLimits:
    """Open connections, and their limits."""

    total: int
    per_address: int
    exempt: Collection[Network]
    """Peers without a limit of their own: proxies, whose clients share an address, and clients without limits."""
    open: int = 0
    by_address: Counter[str] = field(default_factory=Counter)
    logged_at: float = -_LOG_INTERVAL_S

    def admit(self, address: str) -> bool:
        """Count a new connection; return False if it must be refused."""
        if self.open >= self.total:
            return False
        if self.by_address[address] >= self.per_address and not contains(self.exempt, address):
            return False
        self.open += 1
        self.by_address[address] += 1
        return True

    def release(self, address: str) -> None:
        """Count the end of an admitted connection."""
        self.open -= 1
        self.by_address[address] -= 1
        if self.by_address[address] <= 0:
            del self.by_address[address]


class _LimitedConnection(asyncio.Protocol):
    """Passes an admitted connection on to the HTTP server."""

    def __init__(self, limits: ConnectionLimits, create: Callable[[], asyncio.Protocol]) -> None:
        self._limits = limits
        self._create = create
        self._address = ""
        self._inner: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = client_address(str(peer[0]) if peer else "", "", ())
        if not self._limits.admit(self._address):
            self._refuse(transport)
            return
        self._inner = self._create()
        self._inner.connection_made(transport)

    def _refuse(self, transport: asyncio.BaseTransport) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._limits.logged_at >= _LOG_INTERVAL_S:
            self._limits.logged_at = now
            _log.warning("connections.refused", open=self._limits.open, address=self._address)
        # uvloop's transports are not subclasses of asyncio's.
        cast("asyncio.Transport", transport).write(_REFUSAL)
        transport.close()

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            self._limits.release(self._address)
            self._inner.connection_lost(exc)


class LimitedSite(web.BaseSite):
    """A TCP site with caps on its connections."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        limits: ConnectionLimits,
        backlog: int,
        reuse_port: bool,
    ) -> None:
        """Take the arguments of `web.TCPSite`, and the limits."""
        super().__init__(runner, backlog=backlog)
        self._host = host
        self._port = port
        self._limits = limits
        self._reuse_port = reuse_port

    @property
    def name(self) -> str:
        """The address as configured."""
        return http_url(self._host, self._port)

    async def start(self) -> None:
        """Listen."""
        await super().start()
        create = self._runner.server
        if create is None:
            raise RuntimeError("the runner is not set up")
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _LimitedConnection(self._limits, create),
            self._host,
            self._port,
            backlog=self._backlog,
            reuse_port=self._reuse_port or None,
        )

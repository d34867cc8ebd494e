"""WebSockets of simulated customers: from several local addresses, to several addresses of the suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
from trunkline_protocols import codec
from trunkline_protocols.frames import SUBPROTOCOL, ErrorFrame, ServerFrame, Start

from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.client import authorization
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_OPEN_TIMEOUT_S: Final = 60.0
_MAX_CONCURRENT_OPENS: Final = 64


@dataclass(frozen=True, slots=True)
class Opened:
    """An open socket whose conversation has started, and the first frame."""

    socket: aiohttp.ClientWebSocketResponse
    first: ServerFrame


class SocketOpener:
    """Opens sockets, a bounded number at a time."""

    def __init__(self, sessions: list[aiohttp.ClientSession], settings: ClientSettings, plan: LoadPlan) -> None:
        """Use one session per local address."""
        self._sessions = sessions
        self._urls = [url.rstrip("/") + "/v1/chat" for url in (plan.ingresses or (settings.url,))]
        self._headers = authorization(settings.token)
        self._permits = asyncio.Semaphore(_MAX_CONCURRENT_OPENS)

    async def open(self, number: int, customer: str) -> Opened:
        """Open a conversation; raise `CommandError` if the suite does not start it."""
        session = self._sessions[number % len(self._sessions)]
        url = self._urls[number % len(self._urls)]
        try:
            async with self._permits, asyncio.timeout(_OPEN_TIMEOUT_S):
                socket = await session.ws_connect(
                    url, protocols=(SUBPROTOCOL,), headers=self._headers, compress=0, max_msg_size=0
                )
                await socket.send_str(codec.encode(Start(customer=customer, channel="bench")).decode())
                first = codec.server_frame.decode(await socket.receive_str())
        except aiohttp.WSServerHandshakeError as error:
            raise CommandError(f"cannot open conversation {number} at {url}: {error.status}{_hint(error)}") from error
        except (aiohttp.ClientError, OSError, TimeoutError, TypeError, codec.DecodeError) as error:
            reason = str(error) or type(error).__name__
            raise CommandError(f"cannot open conversation {number} at {url}: {reason}") from error
        if isinstance(first, ErrorFrame):
            raise CommandError(f"cannot open conversation {number} at {url}: {first.code}: {first.message}")
        return Opened(socket, first)


def _hint(error: aiohttp.WSServerHandshakeError) -> str:
    if error.status != HTTPStatus.TOO_MANY_REQUESTS:
        return f" {error.message}"
    return (
        ": over the limits of the edge; set TRUNKLINE_EDGE_UNLIMITED to the addresses of the load (127.0.0.0/8), "
        "TRUNKLINE_EDGE_CONNECTIONS to its sockets per ingress process"
    )


@asynccontextmanager
async def open_sessions(settings: ClientSettings, plan: LoadPlan) -> AsyncIterator[SocketOpener]:
    """Yield an opener with one session per local address, without a limit of connections."""
    async with AsyncExitStack() as stack:
        sessions = []
        for source in plan.sources or (None,):
            # aiohttp's default is a hundred connections.
            connector = aiohttp.TCPConnector(limit=0, local_addr=(source, 0) if source is not None else None)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_OPEN_TIMEOUT_S)
            sessions.append(
                await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))
            )
        yield SocketOpener(sessions, settings, plan)

"""The client side of a suite: the WebSocket of one conversation, and the operators' API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
from trunkline_protocols import codec
from trunkline_protocols.frames import SUBPROTOCOL, ClientFrame, ServerFrame

from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

T = TypeVar("T")
_CONNECT_TIMEOUT_S: Final = 10.0
_ANSWER_TIMEOUT_S: Final = 120.0
_ORDER_TIMEOUT_S: Final = 180.0


class Chat:
    """One WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Wrap an open socket."""
        self._socket = socket

    async def send(self, frame: ClientFrame) -> None:
        """Send one frame."""
        await self._socket.send_str(codec.encode(frame).decode())

    async def receive(self, timeout_s: float = _ANSWER_TIMEOUT_S) -> tuple[str, ServerFrame]:
        """Wait for one frame; returns it as it came and decoded."""
        try:
            message = await self._socket.receive(timeout=timeout_s)
        except TimeoutError as error:
            raise CommandError(f"no answer within {timeout_s:g} s") from error
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise CommandError(f"the connection was closed ({self._socket.close_code}) {message.extra or ''}".strip())
        return message.data, codec.server_frame.decode(message.data)


@asynccontextmanager
async def open_chat(settings: ClientSettings) -> AsyncIterator[Chat]:
    """Open a socket to the suite."""
    headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(
                f"{settings.url.rstrip('/')}/v1/chat",
                protocols=(SUBPROTOCOL,),
                headers=headers,
                max_msg_size=0,
                compress=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CommandError(f"cannot reach {settings.url}: {error}; is a suite running? (trunkline up)") from error
        async with socket:
            yield Chat(socket)


def get(settings: ClientSettings, path: str, type_: type[T]) -> T:
    """Ask the operators' API."""
    return asyncio.run(_call(settings, "GET", path, None, type_))


def post(
    settings: ClientSettings, path: str, body: object, type_: type[T], *, timeout_s: float = _ORDER_TIMEOUT_S
) -> T:
    """Order something from the operators' API."""
    return asyncio.run(_call(settings, "POST", path, msgspec.json.encode(body), type_, timeout_s=timeout_s))


def delete(settings: ClientSettings, path: str, type_: type[T]) -> T:
    """Take something back at the operators' API."""
    return asyncio.run(_call(settings, "DELETE", path, None, type_))


async def _call(
    settings: ClientSettings,
    method: str,
    path: str,
    body: bytes | None,
    type_: type[T],
    *,
    timeout_s: float = _ORDER_TIMEOUT_S,
) -> T:
    token = settings.operator_token
    headers: dict[str, Any] = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, settings.url.rstrip("/") + path, data=body, headers=headers) as response,
        ):
            raw = await response.read()
            if response.status != 200:  # noqa: PLR2004
                raise CommandError(f"{path}: {response.status} {raw.decode(errors='replace')[:500]}")
            return msgspec.json.decode(raw, type=type_)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CommandError(f"cannot reach {settings.url}: {error}; is a suite running? (trunkline up)") from error

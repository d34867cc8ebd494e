"""Clients of a running suite: the WebSocket of one conversation, and the operators' API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, NamedTuple, TypeVar

import aiohttp
from pydantic import SecretStr
from trunkline_protocols import codec
from trunkline_protocols.frames import SUBPROTOCOL, ClientFrame, ServerFrame

from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

T = TypeVar("T")
_CONNECT_TIMEOUT_S: Final = 10.0
_ANSWER_TIMEOUT_S: Final = 120.0
_REQUEST_TIMEOUT_S: Final = 180.0
_MAX_ERROR_CHARACTERS: Final = 500


class Chat:
    """The open WebSocket of one conversation."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Wrap an open socket."""
        self._socket = socket

    async def send(self, frame: ClientFrame) -> None:
        """Send one frame."""
        await self._socket.send_str(codec.encode(frame).decode())

    async def receive(self, timeout_s: float = _ANSWER_TIMEOUT_S) -> tuple[str, ServerFrame]:
        """Return the next frame, as text and decoded; raise `CommandError` on a timeout or a closed connection."""
        try:
            message = await self._socket.receive(timeout=timeout_s)
        except TimeoutError as error:
            raise CommandError(f"no answer within {timeout_s:g} s") from error
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise CommandError(f"connection closed ({self._socket.close_code}) {message.extra or ''}".strip())
        try:
            return message.data, codec.server_frame.decode(message.data)
        except codec.DecodeError as error:
            raise CommandError(f"the reply is not a frame of Trunkline: {error}") from error


@asynccontextmanager
async def open_chat(settings: ClientSettings) -> AsyncIterator[Chat]:
    """Open a WebSocket to the suite; raise `CommandError` if the suite cannot be reached."""
    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(
                address(settings, "/v1/chat"),
                protocols=(SUBPROTOCOL,),
                headers=authorization(settings.token),
                max_msg_size=0,
                compress=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(settings, error) from error
        async with socket:
            yield Chat(socket)


def get(settings: ClientSettings, path: str, type_: type[T]) -> T:
    """Send a GET request to the operators' API and return the decoded reply."""
    return asyncio.run(_call(settings, _Request("GET", path), type_))


def post(
    settings: ClientSettings, path: str, body: object, type_: type[T], *, timeout_s: float = _REQUEST_TIMEOUT_S
) -> T:
    """Send a POST request to the operators' API and return the decoded reply."""
    return asyncio.run(_call(settings, _Request("POST", path, codec.encode(body), timeout_s), type_))


def delete(settings: ClientSettings, path: str, type_: type[T]) -> T:
    """Send a DELETE request to the operators' API and return the decoded reply."""
    return asyncio.run(_call(settings, _Request("DELETE", path), type_))


def address(settings: ClientSettings, path: str) -> str:
    """Return the address of a path of the suite."""
    return settings.url.rstrip("/") + path


def authorization(token: SecretStr | None) -> Mapping[str, str]:
    """Return the header of a bearer token; empty without a token."""
    return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}


def unreachable(settings: ClientSettings, error: Exception) -> CommandError:
    """Return the error of a suite that cannot be reached."""
    return CommandError(f"cannot reach {settings.url}: {error}; is a suite running? (trunkline up)")


class _Request(NamedTuple):
    method: str
    path: str
    body: bytes | None = None
    timeout_s: float = _REQUEST_TIMEOUT_S


async def _call(settings: ClientSettings, request: _Request, type_: type[T]) -> T:
    timeout = aiohttp.ClientTimeout(total=request.timeout_s, sock_connect=_CONNECT_TIMEOUT_S)
    headers = authorization(settings.operator_token)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(request.method, address(settings, request.path), data=request.body) as response,
        ):
            raw = await response.read()
            if response.status != HTTPStatus.OK:
                reason = raw.decode(errors="replace")[:_MAX_ERROR_CHARACTERS]
                raise CommandError(f"{request.path}: {response.status} {reason}")
            return codec.decode(raw, type_)
    except codec.DecodeError as error:
        raise CommandError(f"{request.path}: the reply is not one of Trunkline: {error}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise unreachable(settings, error) from error

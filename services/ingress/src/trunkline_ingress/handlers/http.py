"""Request parsing and JSON responses shared by all HTTP handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiohttp import web
from trunkline_chassis.errors import BusError, MessageTooLargeError
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec
from trunkline_protocols.ids import ConversationId, InvalidIdError, token

from trunkline_ingress.core.network import is_same_origin

T = TypeVar("T")

BODY_TIMEOUT_S: Final = web.AppKey("body_timeout_s", float)


@web.middleware
async def bus_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Map errors to a status with their reason.

    413 for a message too large for the bus, 503 for any other `BusError` and for a stored value or reply that cannot
    be decoded.
    """
    try:
        return await handler(request)
    except MessageTooLargeError as error:
        raise web.HTTPRequestEntityTooLarge(error.limit, error.size, text=str(error)) from error
    except BusError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error
    except codec.DecodeError as error:
        report_undecodable("http", request.match_info.handler.__name__, error)
        raise web.HTTPServiceUnavailable(text=f"a stored value cannot be read: {error}") from error


def json_response(reply: object, *, status: int = 200) -> web.Response:
    """Return a JSON response."""
    return web.Response(body=codec.encode(reply), content_type="application/json", status=status)


async def body_of(request: web.Request, type_: type[T]) -> T:
    """Decode the request body; raise `HTTPBadRequest` with the path of the first invalid field."""
    try:
        async with asyncio.timeout(request.app[BODY_TIMEOUT_S]):
            return codec.Decoder[T](type_).decode_joined(await request.read())
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not arrive in time") from error
    except codec.DecodeError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def token_of(request: web.Request, name: str) -> str:
    """Return an identifier of the path; raise `HTTPBadRequest` if it is invalid."""
    try:
        return token(request.match_info[name], name)
    except InvalidIdError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def conversation_of(request: web.Request) -> ConversationId:
    """Return the conversation of the path."""
    return ConversationId(token_of(request, "conversation"))


def bearer_of(request: web.Request) -> str | None:
    """Return the bearer token of the `Authorization` header, None without one."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def check_origin(request: web.Request) -> None:
    """Raise `HTTPForbidden` if a browser sends the request from a page of another origin."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_same_origin(origin, request.host):
        raise web.HTTPForbidden(text="cross-origin requests are not allowed")

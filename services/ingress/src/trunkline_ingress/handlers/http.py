"""JSON over HTTP: bodies in, answers out, and what is said when it cannot be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import web
from trunkline_chassis.errors import BusError
from trunkline_protocols.ids import ConversationId, InvalidIdError, token

T = TypeVar("T")


@web.middleware
async def explain_outages(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer 503 with the reason where something behind the ingress cannot be reached."""
    try:
        return await handler(request)
    except BusError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error


def json_response(reply: object, *, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=msgspec.json.encode(reply), content_type="application/json", status=status)


async def body_of(request: web.Request, type_: type[T]) -> T:
    """Read the body; what does not fit is told with its path."""
    try:
        return msgspec.json.decode(await request.read(), type=type_)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def token_of(request: web.Request, name: str) -> str:
    """Read an identifier of the path."""
    try:
        return token(request.match_info[name], name)
    except InvalidIdError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def conversation_of(request: web.Request) -> ConversationId:
    """Read the conversation of the path."""
    return ConversationId(token_of(request, "conversation"))

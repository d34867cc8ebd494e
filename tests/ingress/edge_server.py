"""A running edge over fake streams, and clients for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from trunkline_ingress.adapters.connections import ConnectionLimits, LimitedSite
from trunkline_ingress.application.admission import ADMIT_ALL
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.application.session_opener import SessionOpener
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.budget import Budget, Rate
from trunkline_ingress.core.identity import Claims, UnauthorizedError
from trunkline_ingress.core.network import (
    parse_networks,
)
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.edge import EdgeGuard
from trunkline_ingress.ports import Sites, TurnAdmission
from trunkline_protocols.ids import Instance

from tests.ingress.guards import open_guard
from tests.ingress.test_resume import EmptyQueue, FakeStreams, NoNotices
from tests.support.borders import ListedBorders

GENEROUS = Rate(1_000, 1_000)
START = {"type": "start", "customer": "ada"}
SECRET = b"s" * 32


class Verifier:
    """Accepts tokens of the form `customer` or `customer:seconds of life`."""

    async def verify(self, token: str) -> Claims:
        """Return the claims."""
        name, _, life_s = token.partition(":")
        if not name.isalpha():
            raise UnauthorizedError("invalid access token")
        return Claims(sub=name, exp=time.time() + float(life_s or 600))


@asynccontextmanager
async def edge(
    guard: EdgeGuard | None = None,
    *,
    authenticator: Authenticator | None = None,
    first_frame_timeout_s: float = 30.0,
    header_timeout_s: float = 30.0,
    limits: ConnectionLimits | None = None,
    streams: FakeStreams | None = None,
    admission: TurnAdmission = ADMIT_ALL,
    sites: Sites | None = None,
) -> AsyncIterator[str]:
    """Run an edge over fake streams; return its address."""
    guard = guard or open_guard()
    streams = streams or FakeStreams()
    opener = SessionOpener(
        instance=Instance("ingress-1"),
        borders=ListedBorders(),
        ports=SessionPorts(inbox=streams, log=streams, presence=streams, canceller=streams, admission=admission),
        sessions=SessionRegistry(NoNotices(), EmptyQueue()),
        resume_secret=SECRET,
        resume_ttl_s=60.0,
        max_queued_frames=64,
        sites=sites,
    )
    chat = ChatEndpoint(opener, authenticator or Authenticator(None), guard, first_frame_timeout_s)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=guard.address_of(request))

    app = web.Application(middlewares=[guard.check])
    app.add_routes([web.get("/v1/chat", chat.serve), web.get("/page", page), web.get("/healthz", page)])
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=header_timeout_s, shutdown_timeout=1.0)
    await runner.setup()
    limits = limits or ConnectionLimits(total=10_000, per_address=10_000, exempt=())
    await LimitedSite(runner, "127.0.0.1", 0, limits=limits, backlog=128, reuse_port=False).start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await chat.close_all()
        await runner.cleanup()


@asynccontextmanager
async def open_socket(running: AbstractAsyncContextManager[str]) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a socket to an edge."""
    async with (
        running as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/v1/chat") as socket,
    ):
        yield socket


async def raw(url: str, sent: bytes) -> bytes:
    """Send bytes on a new connection and return everything until the server closes it."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


async def status(url: str, path: str, **headers: str) -> int:
    """Return the status of a GET request."""
    async with aiohttp.ClientSession() as session, session.get(url + path, headers=headers) as response:
        return response.status


def guard_of(
    *, customer: Rate = GENEROUS, address: Rate = GENEROUS, unlimited: str = "", sockets: int = 100
) -> EdgeGuard:
    """Return a guard with some limits."""
    return EdgeGuard(
        hosts=(),
        trusted_proxies=parse_networks("127.0.0.1"),
        unlimited=parse_networks(unlimited),
        budget=Budget({"customer": customer, "address": address, "tenant": GENEROUS}),
        sockets_per_address=sockets,
    )


async def errors_after(socket: aiohttp.ClientWebSocketResponse, frames: list[dict[str, Any]]) -> list[str]:
    """Send frames and return the codes of as many answers, `type` for those that are not errors."""
    for frame in frames:
        await socket.send_json(frame)
    answers = [await socket.receive_json(timeout=10) for _ in frames]
    assert all(answer["retry_after_s"] > 0 for answer in answers if answer.get("code") == "rate_limited")
    return [answer.get("code", answer["type"]) for answer in answers]


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until an asynchronous condition holds."""
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)

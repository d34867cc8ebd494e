"""The edge under attack, over real sockets: foreign hosts, floods, silent and half-sent connections, expired tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web
from trunkline_ingress.adapters.connections import ConnectionLimits, LimitedSite
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.application.session_opener import SessionOpener
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.budget import Budget, Rate
from trunkline_ingress.core.identity import Claims, UnauthorizedError
from trunkline_ingress.core.network import (
    client_address,
    is_allowed_host,
    parse_hosts,
    parse_networks,
)
from trunkline_ingress.core.refusals import RecentRefusals
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.edge import EdgeGuard
from trunkline_protocols.ids import Instance

from tests.ingress.guards import open_guard
from tests.ingress.test_resume import EmptyQueue, FakeStreams, NoNotices

GENEROUS = Rate(1_000, 1_000)
START = {"type": "start", "customer": "ada"}


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
) -> AsyncIterator[str]:
    """Run an edge over fake streams; return its address."""
    guard = guard or open_guard()
    streams = FakeStreams()
    opener = SessionOpener(
        instance=Instance("ingress-1"),
        ports=SessionPorts(inbox=streams, log=streams, presence=streams, canceller=streams),
        sessions=SessionRegistry(NoNotices(), EmptyQueue()),
        resume_secret=b"s" * 32,
        resume_ttl_s=60.0,
        max_queued_frames=64,
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


# -- hosts ---


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        *(("localhost", True), ("localhost:8080", True), ("LOCALHOST", True), ("localhost.", True)),
        *(("127.0.0.1:8080", True), ("10.0.0.7", True), ("[::1]:8080", True), ("[fe80::1]", True)),
        *(("chat.example", True), ("Chat.Example:443", True), ("chat.example.", True)),
        *(("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False)),
        *(("chat.example.evil.example", False), ("", False), ("[::1", False), ("localhost:80:80", False)),
        *(("localhost:abc", False), ("localhost@evil.example", False), ("evil.example:127.0.0.1", False)),
        *(("127.1", False), ("2130706433", False), ("0x7f.0.0.1", False), ("localhost, evil.example", False)),
    ],
)
def test_only_names_of_this_server_are_allowed(host: str, *, allowed: bool) -> None:
    """A configured name, localhost, or a literal address, with or without a port."""
    assert is_allowed_host(host, parse_hosts("chat.example, desk.example")) is allowed


async def test_page_on_a_foreign_name_reaches_nothing() -> None:
    """DNS rebinding: neither HTTP nor WebSocket answers to the attacker's name; probes may send any name."""
    async with edge() as url:
        port = url.rpartition(":")[2]
        assert await status(url, "/page") == 200
        assert await status(url, "/page", Host=f"rebound.example:{port}") == 421
        assert await status(url, "/healthz", Host="probe.internal") == 200
        async with aiohttp.ClientSession() as session:
            for host, origin, code in (
                (f"rebound.example:{port}", f"http://rebound.example:{port}", 421),
                (f"127.0.0.1:{port}", f"http://rebound.example:{port}", 403),
                (f"127.0.0.1:{port}", "null", 403),
            ):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"{url}/v1/chat", headers={"Host": host, "Origin": origin})
                assert refused.value.status == code
        assert b" 421 " in (await raw(url, b"GET /page HTTP/1.0\r\n\r\n")).split(b"\r\n")[0]


# -- addresses ---


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("9.9.9.9", "1.2.3.4", "9.9.9.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("2001:db8::1:2", "", "2001:db8::"),
    ],
)
def test_forwarded_address_counts_behind_a_trusted_proxy_only(peer: str, forwarded_for: str, expected: str) -> None:
    """The last address that no trusted proxy has: a client can prepend whatever it likes."""
    assert client_address(peer, forwarded_for, parse_networks("10.0.0.0/8")) == expected


# -- budgets ---


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


async def test_forged_resumes_are_limited() -> None:
    """Every frame counts, before a conversation too."""
    forged = {"type": "resume", "conversation": "c1", "resume_token": "x.y", "last_seq": 0}
    async with open_socket(edge(open_guard(customer=Rate(0.01, 5)))) as socket:
        assert await errors_after(socket, [forged] * 8) == ["unauthorized"] * 5 + ["rate_limited"] * 3


def test_socket_with_refused_frames_is_slowed_down_and_closed_at_last() -> None:
    """A client with few mistakes notices nothing, and refusals are forgotten."""
    refusals = RecentRefusals(0.0)
    assert [refusals.record(0.0) for _ in range(51)] == [0.0] * 10 + [1.0] * 20 + [5.0] * 20 + [None]
    assert refusals.record(120.0) == 0.0
    seldom = RecentRefusals(0.0)
    assert {seldom.record(now * 2.0) for now in range(500)} == {0.0}


async def test_flooding_socket_is_closed_and_does_not_delay_another_one() -> None:
    """The pause is the socket's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trunkline_ingress.core.refusals._DELAYS_S", ((10, 0.0), (20, 0.01)))
        async with open_socket(edge(open_guard())) as socket:
            for _ in range(60):
                await socket.send_json({"type": "dance"})
            while (message := await socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1008)
    async with edge() as url, aiohttp.ClientSession() as session:
        flooding, calm = [await session.ws_connect(f"{url}/v1/chat") for _ in range(2)]
        for _ in range(45):
            await flooding.send_json({"type": "dance"})
        assert await errors_after(calm, [START]) == ["started"]


async def test_customer_has_one_budget_on_all_sockets_and_touches_no_other() -> None:
    """With authentication; without it a name proves nothing, and each socket pays for itself."""
    bad = {"type": "dance"}
    guard = guard_of(customer=Rate(0.01, 6))
    async with edge(guard, authenticator=Authenticator(Verifier())) as url, aiohttp.ClientSession() as session:
        sockets = [
            await session.ws_connect(f"{url}/v1/chat", headers={"Authorization": f"Bearer {name}"})
            for name in ("ada", "ada", "bob")
        ]
        assert await errors_after(sockets[0], [bad] * 4) == ["bad_frame"] * 4
        assert await errors_after(sockets[1], [bad] * 4) == ["bad_frame"] * 2 + ["rate_limited"] * 2
        assert await errors_after(sockets[1], [START]) == ["rate_limited"]
        assert await errors_after(sockets[2], [{**START, "customer": "bob"}]) == ["started"]


async def test_requests_over_the_budget_of_an_address_are_answered_429() -> None:
    """With the time to wait; other addresses and unlimited ones are served."""
    guard = guard_of(address=Rate(0.1, 3), unlimited="5.5.5.5")
    async with edge(guard) as url, aiohttp.ClientSession() as session:
        for address, codes in (
            ("1.1.1.1", [200, 200, 200, 429, 429]),
            ("2.2.2.2", [200, 200, 200, 429]),
            ("5.5.5.5", [200] * 20),
        ):
            assert [await status(url, "/page", **{"X-Forwarded-For": address}) for _ in codes] == codes
        async with session.get(f"{url}/page", headers={"X-Forwarded-For": "1.1.1.1"}) as response:
            assert 0 < (await response.json())["retry_after_s"] <= 10
            assert 0 < int(response.headers["Retry-After"]) <= 10
        assert await status(url, "/healthz") == 200


def test_refused_frame_costs_none_of_its_payers() -> None:
    """Otherwise one customer could use up the budget of an address by frames that are refused."""
    budget = Budget({"customer": Rate(1, 1), "address": Rate(1, 2), "tenant": Rate(1, 1)})
    assert budget.charge({"customer": "a", "address": "x"}, 0.0) == 0
    for _ in range(10):
        assert budget.charge({"customer": "a", "address": "x"}, 0.0) == pytest.approx(1.0)
    assert budget.charge({"customer": "b", "address": "x"}, 0.0) == 0
    assert budget.charge({"customer": "c", "address": "x"}, 0.0) == pytest.approx(1.0)


def test_number_of_buckets_is_bounded() -> None:
    """Addresses are free for an attacker with many of them."""
    budget = Budget({"customer": Rate(1, 1), "address": Rate(1, 1), "tenant": Rate(1, 1)})
    for number in range(50_000):
        budget.charge({"address": number}, 0.0)
    assert len(budget._buckets) <= 20_000


# -- connections ---


async def test_sockets_of_an_address_are_limited_and_given_back() -> None:
    """A closed socket makes room for another one."""
    async with edge(guard_of(sockets=2)) as url, aiohttp.ClientSession() as session:
        first, _ = [await session.ws_connect(f"{url}/v1/chat") for _ in range(2)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{url}/v1/chat")
        assert refused.value.status == 429
        await first.close()
        await eventually(lambda: connected(session, url))


async def connected(session: aiohttp.ClientSession, url: str) -> bool:
    """Return whether a socket can be opened."""
    try:
        await session.ws_connect(f"{url}/v1/chat")
    except aiohttp.WSServerHandshakeError:
        return False
    return True


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until an asynchronous condition holds."""
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("limits", [(3, 100), (100, 3)], ids=["total", "per address"])
async def test_silent_connections_are_capped(limits: tuple[int, int]) -> None:
    """A connection over the cap is answered 429 at once; when others end, new ones are served."""
    total, per_address = limits
    caps = ConnectionLimits(total=total, per_address=per_address, exempt=())
    async with edge(limits=caps) as url:
        port = int(url.rpartition(":")[2])
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await eventually(lambda: asyncio.sleep(0, caps.open == 3))
        refused = await raw(url, b"")
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"Retry-After" in refused
        for _, writer in silent:
            writer.close()
        await eventually(lambda: asyncio.sleep(0, caps.open == 0))
        assert await status(url, "/page") == 200
    assert caps.open == 0
    assert not caps.by_address


def test_refusal_is_written_by_the_loop_of_the_processes() -> None:
    """The processes run on uvloop, whose transports have classes of their own."""

    async def refused() -> bytes:
        async with edge(limits=ConnectionLimits(total=0, per_address=1, exempt=())) as url:
            return await raw(url, b"")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(refused()).startswith(b"HTTP/1.1 429 ")


@pytest.mark.parametrize("sent", [b"", b"GET /page HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_half_sent_header_is_closed(sent: bytes) -> None:
    """Also behind a first request on the same connection."""
    whole = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with edge(header_timeout_s=0.5) as url:
        assert await raw(url, sent) == b""
        answered = await raw(url, whole + sent)
        assert answered.startswith(b"HTTP/1.1 200 ")
        assert answered.count(b"HTTP/1.1") == 1


async def test_socket_without_a_conversation_is_closed() -> None:
    """One that has started is not, and neither are bad frames a conversation."""
    async with edge(first_frame_timeout_s=0.5) as url, aiohttp.ClientSession() as session:
        silent, chatty, started = [await session.ws_connect(f"{url}/v1/chat") for _ in range(3)]
        assert await errors_after(started, [START]) == ["started"]
        assert await errors_after(chatty, [{"type": "dance"}]) == ["bad_frame"]
        for socket in (silent, chatty):
            message = await socket.receive(timeout=10)
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4002)
        assert await errors_after(started, [{"type": "dance"}]) == ["bad_frame"]


# -- access tokens ---


async def test_token_comes_in_the_header_or_in_the_first_frame() -> None:
    """Not in the address, unless that is switched on."""
    for allowed in (False, True):
        authenticator = Authenticator(Verifier(), allow_query_token=allowed)
        async with edge(authenticator=authenticator) as url, aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{url}/v1/chat", headers={"Authorization": "Bearer ada"}) as socket:
                assert await errors_after(socket, [START]) == ["started"]
            async with session.ws_connect(f"{url}/v1/chat") as socket:
                frames = [START, {**START, "token": "7"}, {**START, "token": "eve"}, {**START, "token": "ada"}]
                assert await errors_after(socket, frames) == ["unauthorized"] * 3 + ["started"]
            if allowed:
                async with session.ws_connect(f"{url}/v1/chat?token=ada") as socket:
                    assert await errors_after(socket, [START]) == ["started"]
            else:
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"{url}/v1/chat?token=ada")
                assert refused.value.status == 401
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{url}/v1/chat", headers={"Authorization": "Bearer 7"})
            assert refused.value.status == 401


async def test_resume_is_bound_to_the_customer_of_the_token() -> None:
    """The resume token of one customer is worth nothing with the access token of another."""
    async with edge(authenticator=Authenticator(Verifier())) as url, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{url}/v1/chat") as socket:
            await socket.send_json({**START, "token": "ada"})
            started = await socket.receive_json()
        resume = {"type": "resume", "last_seq": 1, "conversation": started["conversation"]}
        resume["resume_token"] = started["resume_token"]
        async with session.ws_connect(f"{url}/v1/chat") as socket:
            frames = [resume, {**resume, "token": "eve"}, {**resume, "token": "ada"}]
            assert await errors_after(socket, frames) == ["unauthorized", "unauthorized", "resumed"]


async def test_socket_is_closed_when_its_access_token_expires() -> None:
    """The error says so, and the client may resume with a new token."""
    async with open_socket(edge(authenticator=Authenticator(Verifier()))) as socket:
        assert await errors_after(socket, [{**START, "token": "ada:0.5"}]) == ["started"]
        error = await socket.receive_json(timeout=10)
        assert (error["code"], error["retryable"]) == ("unauthorized", True)
        message = await socket.receive(timeout=10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)

"""The edge under attack, over real sockets: foreign hosts, forwarded addresses, silent and half-sent connections."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import uvloop
from trunkline_ingress.adapters.connections import ConnectionLimits
from trunkline_ingress.core.network import (
    client_address,
    is_allowed_host,
    is_same_origin,
    parse_hosts,
    parse_networks,
)

from tests.ingress.edge_server import (
    START,
    edge,
    errors_after,
    eventually,
    guard_of,
    raw,
    status,
)

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


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        *(("https://chat.example", "chat.example", True), ("https://chat.example", "chat.example:443", True)),
        *(("https://Chat.example:443", "chat.example", True), ("http://[::1]:8080", "[::1]:8080", True)),
        *(("http://[::1]", "[::1]:80", True), ("http://127.0.0.1:8080", "127.0.0.1:8080", True)),
        *(("https://chat.example", "chat.example:80", False), ("http://chat.example:8081", "chat.example:8080", False)),
        *(("https://evil.example", "chat.example", False), ("https://chat.example.evil", "chat.example", False)),
        *(("null", "chat.example", False), ("", "", False), ("https://[::1", "[::1", False), ("null", "", False)),
        *(("https://chat.example:x", "chat.example", False), ("file://", "", False), ("https://", "", False)),
    ],
)
def test_origin_and_host_are_compared_as_addresses(origin: str, host: str, *, same: bool) -> None:
    """A proxy may add the default port, which a browser omits; anything malformed is another origin."""
    assert is_same_origin(origin, host) is same


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
        ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
        ("10.0.0.1", "[2001:db8::1:2]:5678", "2001:db8::"),
        ("10.0.0.1", "[2001:db8::1:2]", "2001:db8::"),
        ("10.0.0.1", "2001:db8::1:2", "2001:db8::"),
        ("10.0.0.1", "1.2.3.4:x", "10.0.0.1"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("2001:db8::1:2", "", "2001:db8::"),
    ],
)
def test_forwarded_address_counts_behind_a_trusted_proxy_only(peer: str, forwarded_for: str, expected: str) -> None:
    """The last address that no trusted proxy has: a client can prepend whatever it likes."""
    assert client_address(peer, forwarded_for, parse_networks("10.0.0.0/8")) == expected


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

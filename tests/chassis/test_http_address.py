"""Addresses of HTTP servers as URLs, for IPv4 and IPv6."""

from __future__ import annotations

import aiohttp
import pytest
from trunkline_chassis.health import HealthServer
from trunkline_chassis.http_address import http_url, is_loopback

from tests.support.network import require_ipv6


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 - the subject of the test
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
        ("2001:db8::7", "http://[2001:db8::7]:80"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:80"),
        ("chat.example", "http://chat.example:80"),
    ],
)
def test_address_is_one_that_can_be_requested(host: str, url: str) -> None:
    """Brackets around IPv6, loopback instead of a wildcard."""
    assert http_url(host, 80) == url


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True)),
        *(("::", False), ("0.0.0.0", False), ("10.0.0.1", False), ("chat.example", False), ("", False)),  # noqa: S104
    ],
)
def test_only_this_machine_is_loopback(host: str, *, loopback: bool) -> None:
    """A wildcard is not: other machines reach it."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost"])  # noqa: S104 - the subject
async def test_health_server_answers_at_the_address_that_it_reports(host: str) -> None:
    """The supervisor requests this address: an unreachable one looks like a frozen process."""
    if ":" in host:
        require_ipv6()
    server = HealthServer(host, 0, lambda: True)
    url = await server.start()
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
            assert response.status == 200
    finally:
        await server.stop()

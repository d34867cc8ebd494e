"""A suite that listens on every address: customers reach the ingress and nothing else, and no metrics."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.support.suite import Suite, of_each

pytestmark = pytest.mark.processes


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    """A suite with authentication, without which it listens on loopback only."""
    running = Suite(
        tmp_path / "suite",
        {"TRUNKLINE_HTTP_HOST": "0.0.0.0", "TRUNKLINE_AUTH_SECRET": "s" * 32},  # noqa: S104 - the subject of the test
    )
    yield running
    assert running.stop() == 0


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Return status and body."""
    request = urllib.request.Request(url, headers=headers or {})  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own server
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def listeners(suite: Suite) -> dict[tuple[str, int], str]:
    """Return the addresses on which processes of the suite listen, with the command of each."""
    found = of_each(suite.processes(), lambda process: (process.net_connections("inet"), " ".join(process.cmdline())))
    return {
        (str(connection.laddr.ip), int(connection.laddr.port)): command
        for connections, command in found
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
    }


def test_public_address_serves_the_ingress_alone_and_no_metrics(suite: Suite) -> None:
    """Every process has its metrics on loopback, where the page of the node reads them without a key."""
    port = urlsplit(suite.url).port or 0
    found = listeners(suite)
    public = {address: command for address, command in found.items() if not address[0].startswith("127.")}
    assert set(public) == {("0.0.0.0", port)}, public  # noqa: S104 - the subject of the test
    assert "trunkline_ingress" in public["0.0.0.0", port]  # noqa: S104
    url = f"http://127.0.0.1:{port}"
    assert get(f"{url}/metrics", suite.operator_headers)[0] == 404
    assert [get(f"{url}{path}")[0] for path in ("/healthz", "/readyz")] == [200, 200]
    pages = [get(f"http://{host}:{other}/metrics") for host, other in found if "trunkline_rag" in found[host, other]]
    assert [status for status, body in pages if "trunkline_knowledge_passages" in body] == [200]

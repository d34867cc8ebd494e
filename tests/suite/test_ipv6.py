"""A suite on IPv6: its ingress and its NATS server listen on ::1 alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.customer import Customer
from tests.support.network import require_ipv6
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes

SERVER = str(Path(sys.executable).parent / "nats-server")


@pytest.fixture
def nats_url(tmp_path: Path) -> Iterator[str]:
    """A nats-server on ::1."""
    require_ipv6()
    port = free_port("::1")
    config = tmp_path / "nats.conf"
    config.write_text(f'listen: "[::1]:{port}"\nmax_payload: 8MB\njetstream {{ store_dir: "{tmp_path}/js" }}\n')
    with (tmp_path / "nats.log").open("w") as log:
        process = subprocess.Popen([SERVER, "--config", str(config)], stdout=log, stderr=log)
        yield f"nats://[::1]:{port}"
        process.terminate()
        process.wait(10)


async def test_suite_on_ipv6_answers_and_its_processes_are_healthy(nats_url: str, tmp_path: Path) -> None:
    """Every address that it reports can be requested; a process with another one would be replaced as frozen."""
    suite = Suite(tmp_path / "suite", {"TRUNKLINE_HTTP_HOST": "::1", "TRUNKLINE_NATS_URL": nats_url})
    try:
        assert suite.url.startswith("http://[::1]:")
        assert suite.console_link.startswith(f"{suite.url}/console#link=")
        async with Customer(suite.url) as customer:
            await customer.start()
            await customer.ask("m1", "How many days do I have to return an item?")
        assert run_cli(suite, "ask", "How long do refunds take?").returncode == 0
        assert run_cli(suite, "status").returncode == 0
        assert {process["restarts"] for process in suite.status().values()} == {0}
    finally:
        assert suite.stop() == 0

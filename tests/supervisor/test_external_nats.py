"""A suite on a NATS server of the operator: credentials in variables, one clear line if they are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.suite import Suite, run_cli, trunkline

pytestmark = pytest.mark.processes

SERVER = str(Path(sys.executable).parent / "nats-server")


@pytest.fixture
def nats_port(tmp_path: Path) -> Iterator[int]:
    """A nats-server with one user, as an operator may have it."""
    port = free_port()
    config = tmp_path / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nmax_payload: 8MB\njetstream {{ store_dir: "{tmp_path}/js" }}\n'
        'authorization { user: "suite", password: "p@ss" }\n'
    )
    with (tmp_path / "nats.log").open("w") as log:
        process = subprocess.Popen([SERVER, "--config", str(config)], stdout=log, stderr=log)
        yield port
        process.terminate()
        process.wait(10)


def test_suite_uses_the_credentials_of_its_variables(nats_port: int, tmp_path: Path) -> None:
    """The supervisor and every process that it starts."""
    environment = {
        "TRUNKLINE_NATS_URL": f"nats://127.0.0.1:{nats_port}",
        "TRUNKLINE_NATS_USER": "suite",
        "TRUNKLINE_NATS_PASSWORD": "p@ss",
    }
    suite = Suite(tmp_path / "data", environment)
    try:
        assert run_cli(suite, "ask", "How long do refunds take?").returncode == 0
    finally:
        assert suite.stop() == 0


def test_refused_credentials_are_one_line(nats_port: int, tmp_path: Path) -> None:
    """On stderr, without the password, with a non-zero exit status."""
    environment = {**os.environ, "TRUNKLINE_NATS_URL": f"nats://suite:wrong-secret@127.0.0.1:{nats_port}"}
    command = [trunkline(), "up", "--port", "0", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert lines[-1] == f"trunkline: NATS at nats://127.0.0.1:{nats_port} refused the credentials of supervisor"
    assert "wrong-secret" not in done.stderr
    assert "Traceback" not in done.stderr

"""An external server replaces an embedded one if its address is configured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nats import nats_server
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes


@pytest.fixture
def external_nats(tmp_path: Path) -> Iterator[str]:
    """An empty nats-server that is not part of a suite."""
    with nats_server(tmp_path / "nats") as url:
        yield url


def test_suite_runs_on_an_external_nats(external_nats: str, tmp_path: Path) -> None:
    """It starts no server, provisions the given one, and answers."""
    suite = Suite(tmp_path / "suite", {"TRUNKLINE_NATS_URL": external_nats})
    try:
        assert {process["service"] for process in suite.status().values()}.isdisjoint({"nats"})
        done = run_cli(suite, "ask", "I was charged twice for my order, can I get a refund?")
        assert done.returncode == 0, done.stderr
        assert "-- billing /" in done.stdout
    finally:
        assert suite.stop() == 0

"""An embedded part is replaced by a real one by its address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nats import nats_server
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[str]:
    """A nats-server that no suite started, with nothing in it."""
    with nats_server(tmp_path / "nats") as url:
        yield url


def test_suite_runs_on_a_nats_of_ones_own(own_nats: str, tmp_path: Path) -> None:
    """It starts none, prepares the given one, and answers."""
    suite = Suite(tmp_path / "suite", {"TRUNKLINE_NATS_URL": own_nats})
    try:
        assert {process["service"] for process in suite.status().values()}.isdisjoint({"nats"})
        asked = run_cli(suite, "ask", "I was charged twice for my order, can I get a refund?")
        assert asked.returncode == 0, asked.stderr
        assert "-- billing /" in asked.stdout
    finally:
        assert suite.stop() == 0

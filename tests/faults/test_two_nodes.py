"""Two suites on one NATS and one PostgreSQL do not take each other's processes for their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from trunkline_supervisor.core.node import node_of

from tests.faults import two_nodes
from tests.support.nats import nats_server
from tests.support.suite import Suite

pytestmark = pytest.mark.processes


async def test_one_of_two_nodes_stops_and_its_customers_go_on(tmp_path: Path) -> None:
    """Neither replaces a process of the other, both show all, and each message is answered and archived once."""
    figures = await two_nodes.run(tmp_path, duration_s=6, customers=3)
    assert figures["conversations"] == 6
    assert figures["turns"] > 20


async def test_second_node_of_the_same_name_is_refused(tmp_path: Path) -> None:
    """Each would replace the processes of the other."""
    folder = tmp_path / "nats"
    folder.mkdir()
    with nats_server(folder) as url:
        environment = {"TRUNKLINE_NATS_URL": url, "TRUNKLINE_NODE": "berlin-1"}
        suite = await asyncio.to_thread(Suite, tmp_path / "first", environment)
        try:
            assert suite.status()["audit-1"]["instance"] == "audit-1-berlin-1"
            with pytest.raises(AssertionError, match="another suite on this NATS is node berlin-1; set TRUNKLINE_NODE"):
                await asyncio.to_thread(Suite, tmp_path / "second", environment)
        finally:
            assert await asyncio.to_thread(suite.stop) == 0


def test_nodes_of_one_host_have_different_names() -> None:
    """Host names with dots and of any length make tokens."""
    first, second = (node_of(None, "host.example.org", drawn, is_alone=False) for drawn in ("01234567", "abcdef01"))
    assert (first.instance("rag-1"), second.instance("rag-1")) == ("rag-1-host-0123", "rag-1-host-abcd")
    assert len(node_of(None, "h" * 64, "01234567", is_alone=False).name) == 25
    assert node_of(None, "host", "01234567", is_alone=True).instance("rag-1") == "rag-1"

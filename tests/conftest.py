"""What several suites share: real servers, each with a data directory of its own."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.provision import provision
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real nats-server with JetStream, shared by the tests of a session."""
    folder: Path = tmp_path_factory.mktemp("nats")
    node = NatsNode("nats-1", folder, free_port(), free_port())
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(nats_server_command(node), stdout=log, stderr=log)
        try:
            yield node.url
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connection to a server that has every stream, consumer and bucket."""
    connection = await connect(nats_url, "test")
    await provision(connection, region="local", specialties=["triage", "billing", "technical"], replicas=1)
    yield connection
    await connection.close()

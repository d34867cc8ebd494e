"""A nats-server for tests."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[str]:
    """Run a server with its state in a folder; yield its address."""
    node = NatsNode("nats-1", folder, free_port())
    command = nats_server_command(node)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield node.url
        finally:
            server.terminate()
            server.wait(10)

"""NATS servers for tests."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port


@contextlib.contextmanager
def nats_server(folder: Path, configure: Callable[[str], str] = lambda config: config) -> Iterator[str]:
    """Run a server with its state in a folder; yield its address. `configure` returns a changed configuration."""
    node = NatsNode("nats-1", folder, free_port())
    command = nats_server_command(node)
    config = folder / "nats.conf"
    config.write_text(configure(config.read_text(encoding="utf-8")), encoding="utf-8")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield node.url
        finally:
            server.terminate()
            server.wait(10)


@contextlib.contextmanager
def nats_cluster(
    folder: Path, tags: Sequence[str] = ("a", "b", "c")
) -> Iterator[dict[str, tuple[str, subprocess.Popen[bytes]]]]:
    """Run a server per tag as a cluster; yield their addresses and processes by name, `n1` and so on."""
    ports, routes = [free_port() for _ in tags], [free_port() for _ in tags]
    peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    servers: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
    try:
        for number, (port, route, tag) in enumerate(zip(ports, routes, tags, strict=True), start=1):
            config = folder / f"{number}.conf"
            config.write_text(
                f'server_name: n{number}\nlisten: 127.0.0.1:{port}\nserver_tags: ["{tag}"]\n'
                f'jetstream {{ store_dir: "{folder / str(number)}" }}\n'
                f"cluster {{ name: c, listen: 127.0.0.1:{route}, routes: [{peers}] }}\n"
            )
            command = [str(Path(sys.executable).parent / "nats-server"), "-c", str(config)]
            with (folder / f"{number}.log").open("wb") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log)
            servers[f"n{number}"] = (f"nats://127.0.0.1:{port}", process)
        yield servers
    finally:
        for _, process in servers.values():
            process.kill()
            process.wait()

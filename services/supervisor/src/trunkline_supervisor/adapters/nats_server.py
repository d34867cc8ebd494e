"""The embedded nats-server, single or a cluster of three: configuration files and command lines."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_supervisor.adapters.nats_credentials import ROUTE_USER, NatsCredentials
from trunkline_supervisor.adapters.secret_file import write_secret
from trunkline_supervisor.adapters.tcp import free_port
from trunkline_supervisor.core.errors import NodesError

_HOST: Final = "127.0.0.1"

_CONFIG: Final = """# Written by the supervisor at every start.
server_name: {name}
listen: "{host}:{port}"
max_payload: 8MB
write_deadline: "10s"
ping_interval: "2s"
ping_max: 2
jetstream {{
    store_dir: {store}
    sync_interval: "1s"
}}
"""

_CLUSTER: Final = """cluster {{
    name: trunkline
    listen: "{host}:{route_port}"
    authorization {{ user: "{route_user}", password: "{route_password}" }}
    routes: [{routes}]
}}
"""


@dataclass(frozen=True, slots=True)
class NatsNode:
    """One server: name, folder of its state, and ports, which are new at every start of the suite."""

    name: str
    folder: Path
    port: int
    route_port: int = 0

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://{_HOST}:{self.port}"


def plan_nodes(folder: Path, requested: int | None) -> list[NatsNode]:
    """Return the servers whose state is in `folder`, or `requested` new ones (default: one).

    JetStream cannot convert the state of a single server to that of a cluster, nor back: raises `NodesError` if the
    numbers differ.
    """
    known = _count_nodes(folder)
    if known is not None and requested is not None and known != requested:
        raise NodesError(
            f"{folder} was created with --nodes {known} and cannot be converted to {requested}; "
            "choose another --data-dir"
        )
    count = known or requested or 1
    if count == 1:
        return [NatsNode("nats-1", folder, free_port())]
    names = [f"nats-{number}" for number in range(1, count + 1)]
    return [NatsNode(name, folder / name, free_port(), free_port()) for name in names]


def nats_server_command(
    node: NatsNode, peers: list[NatsNode] | None = None, credentials: NatsCredentials | None = None
) -> list[str]:
    """Write the configuration of a server and return its command; with several `peers` it joins their cluster.

    Without `credentials` every client on this machine may do everything, for tests and benches of single parts.
    """
    node.folder.mkdir(parents=True, exist_ok=True)
    config = node.folder / "nats.conf"
    store = '"' + str(node.folder / "jetstream").replace("\\", "\\\\").replace('"', '\\"') + '"'
    text = _CONFIG.format(name=node.name, host=_HOST, port=node.port, store=store)
    if peers is not None and len(peers) > 1:
        password = credentials.passwords[ROUTE_USER] if credentials is not None else "open"
        routes = ", ".join(
            f'"nats://{ROUTE_USER}:{password}@{_HOST}:{peer.route_port}"' for peer in peers if peer != node
        )
        text += _CLUSTER.format(
            host=_HOST, route_port=node.route_port, routes=routes, route_user=ROUTE_USER, route_password=password
        )
    if credentials is not None:
        text += credentials.accounts()
    write_secret(config, text)
    return [_binary(), "--config", str(config)]


def _count_nodes(folder: Path) -> int | None:
    """Return the number of servers with state in the folder, None for an empty one."""
    if (folder / "jetstream").exists():
        return 1
    return len([node for node in folder.glob("nats-*") if node.is_dir()]) or None


def _binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server is neither beside the Python interpreter nor on PATH")
    return found

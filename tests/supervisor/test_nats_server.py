"""Planning of the embedded NATS servers, and ports."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_supervisor.adapters.nats_server import nats_server_command, plan_nodes
from trunkline_supervisor.adapters.tcp import free_port
from trunkline_supervisor.core.errors import NodesError


def create_state(folder: Path, nodes: int) -> None:
    for node in plan_nodes(folder, nodes):
        nats_server_command(node)
        (node.folder / "jetstream").mkdir()


def test_empty_folder_gets_one_server_by_default(tmp_path: Path) -> None:
    """In a cluster of three, each has its own name, folder and ports."""
    assert [node.name for node in plan_nodes(tmp_path, None)] == ["nats-1"]
    nodes = plan_nodes(tmp_path, 3)
    assert [node.name for node in nodes] == ["nats-1", "nats-2", "nats-3"]
    assert len({node.folder for node in nodes}) == 3
    assert len({port for node in nodes for port in (node.port, node.route_port)}) == 6


def test_no_port_is_returned_twice() -> None:
    """The process that got a port may not listen yet."""
    ports = [free_port() for _ in range(300)]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize("nodes", [1, 3])
def test_used_folder_keeps_its_number_of_servers_and_refuses_another(tmp_path: Path, nodes: int) -> None:
    """The state of a single server cannot be used by a cluster, and vice versa."""
    create_state(tmp_path, nodes)
    assert len(plan_nodes(tmp_path, None)) == nodes
    assert len(plan_nodes(tmp_path, nodes)) == nodes
    with pytest.raises(NodesError, match=f"--nodes {nodes}"):
        plan_nodes(tmp_path, 4 - nodes)

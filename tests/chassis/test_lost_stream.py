"""A stream without replicas whose node is gone, on a real cluster of three servers."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from trunkline_chassis.bus import connect
from trunkline_chassis.errors import BusError
from trunkline_chassis.provision import TopologyOptions, create_missing, provision
from trunkline_protocols.topology import topology_of
from trunkline_supervisor.adapters.tcp import free_port


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, tuple[str, subprocess.Popen[bytes]]]]:
    """Run three servers as a cluster; yield their addresses and processes by name."""
    ports, routes = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    servers: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
    try:
        for number, (port, route) in enumerate(zip(ports, routes, strict=True), start=1):
            config = folder / f"{number}.conf"
            config.write_text(
                f"server_name: n{number}\nlisten: 127.0.0.1:{port}\n"
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


@pytest.mark.processes
@pytest.mark.timeout(120)
async def test_work_queue_is_replaced_on_another_node_when_its_own_is_gone(tmp_path: Path) -> None:
    """It has no replicas, and turns must not wait until the node comes back; replicated streams stay as they are."""
    conversation = topology_of("conversation", "local", ())
    options = TopologyOptions(replicas=3)
    with cluster(tmp_path) as servers:
        bus = await connect(",".join(url for url, _ in servers.values()), "test")
        try:
            await provision(bus, region="local", specialties=["triage"], replicas=3)
            assert await create_missing(bus, conversation, options) == []
            leader = (await bus.api("STREAM.INFO.WORK"))["cluster"]["leader"]
            servers[leader][1].kill()
            servers[leader][1].wait()
            created: list[str] = []
            async with asyncio.timeout(60):
                while not created:
                    with contextlib.suppress(BusError):  # the cluster elects a leader
                        created = await create_missing(bus, conversation, options)
                    await asyncio.sleep(0.5)
            assert created == ["WORK"]
            assert (await bus.api("STREAM.INFO.WORK"))["cluster"]["leader"] != leader
            assert (await bus.append("work.triage.normal", b"{}", message_id="m")).seq == 1
        finally:
            await bus.close()

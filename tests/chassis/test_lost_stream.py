"""A stream without replicas whose node is gone, on a real cluster of three servers."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusError, BusUnavailableError
from trunkline_chassis.provision import TopologyOptions, create_missing, provision
from trunkline_protocols import streams
from trunkline_protocols.topology import Topology, topology_of
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


class SlowClusterBus:
    """A cluster whose list of streams takes so long that a peer replaces the work queue during the last one."""

    def __init__(self, *, lists_until_replaced: int) -> None:
        """The work queue answers again after this many lists of streams."""
        self._lists_left = lists_until_replaced
        self.deleted: list[str] = []

    async def api(self, subject: str, request: object = None, *, timeout_s: float = 5.0) -> dict[str, Any]:
        """Answer as the server does."""
        if subject == "STREAM.NAMES":
            self._lists_left -= 1
            return {"streams": ["WORK"], "total": 1}
        if subject.startswith("STREAM.INFO") and self._lists_left > 0:
            raise BusUnavailableError("no reply")
        if subject.startswith("STREAM.DELETE"):
            self.deleted.append(subject)
        return {}


@pytest.mark.parametrize("lists", [2, 3, 4])
async def test_work_queue_that_a_peer_replaced_is_not_deleted(lists: int) -> None:
    """Several processes notice the loss at once; the new stream of the first one holds turns already."""
    bus = SlowClusterBus(lists_until_replaced=lists)
    queue = Topology(streams=(streams.WORK,), replaceable=(streams.WORK,))
    await create_missing(cast("Bus", bus), queue, TopologyOptions(replicas=3))
    assert bus.deleted == []


async def test_work_queue_that_stays_silent_is_replaced() -> None:
    """As long as the cluster lists it and no node answers for it."""
    bus = SlowClusterBus(lists_until_replaced=1_000)
    queue = Topology(streams=(streams.WORK,), replaceable=(streams.WORK,))
    assert await create_missing(cast("Bus", bus), queue, TopologyOptions(replicas=3)) == ["WORK"]
    assert bus.deleted == ["STREAM.DELETE.WORK"]

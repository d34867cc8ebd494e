"""A stream without replicas whose node is gone, on a real cluster of three servers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any, cast

import pytest
from trunkline_chassis.bus import STREAM_NOT_FOUND, AppendResult, Bus, connect
from trunkline_chassis.errors import BusError, BusRefusedError, BusUnavailableError, FenceError
from trunkline_chassis.lost_streams import LostStreams
from trunkline_chassis.provision import TopologyOptions, create_missing, provision
from trunkline_chassis.silent_nodes import silent_nodes
from trunkline_protocols.topology import topology_of

from tests.support.nats import nats_cluster


async def reconcile(bus: Bus, lost: LostStreams) -> list[str]:
    """Create what is missing as a conversation process does; nothing while the cluster elects a leader."""
    with contextlib.suppress(BusError):
        return await create_missing(bus, topology_of("conversation", "local", ()), TopologyOptions(replicas=3), lost)
    return []


@pytest.mark.processes
@pytest.mark.timeout(180)
async def test_work_queue_is_replaced_once_if_its_node_is_gone_and_never_if_it_is_slow(tmp_path: Path) -> None:
    """Four processes look at once: a node that stands still for two seconds keeps it, a killed one loses it to one."""
    with nats_cluster(tmp_path) as servers:
        first = await connect(",".join(url for url, _ in servers.values()), "test")
        await provision(first, region="local", specialties=["triage"], replicas=3)
        before = await first.api("STREAM.INFO.WORK")
        node = servers[before["cluster"]["leader"]][1]
        others = ",".join(url for url, process in servers.values() if process is not node)
        await first.close()
        buses = [await connect(others, f"test-{number}") for number in range(4)]
        processes = [LostStreams(bus, claimant=f"test-{number}") for number, bus in enumerate(buses)]
        try:
            node.send_signal(signal.SIGSTOP)
            looks = [asyncio.ensure_future(reconcile(bus, lost)) for bus, lost in zip(buses, processes, strict=True)]
            await asyncio.sleep(2)
            node.send_signal(signal.SIGCONT)
            assert await asyncio.gather(*looks) == [[], [], [], []]
            after = await buses[0].api("STREAM.INFO.WORK")
            assert (after["created"], after["cluster"]["leader"]) == (before["created"], before["cluster"]["leader"])

            node.kill()
            node.wait()
            created: list[str] = []
            async with asyncio.timeout(90):
                while not created:
                    rounds = (reconcile(bus, lost) for bus, lost in zip(buses, processes, strict=True))
                    created = [name for names in await asyncio.gather(*rounds) for name in names]
            assert created == ["WORK"]
            assert (await buses[0].append("work.triage.normal", b"{}", message_id="m")).seq == 1
            again = [reconcile(bus, lost) for bus, lost in zip(buses, processes, strict=True)]
            assert await asyncio.gather(*again) == [[], [], [], []]
            state = (await buses[0].api("STREAM.INFO.WORK"))["state"]
            assert state["messages"] == 1, "a second process has replaced the new stream"
        finally:
            for bus in buses:
                await bus.close()


def peer(name: str, *, active_s: float, current: bool = True, offline: bool = False) -> dict[str, Any]:
    return {"name": name, "active": int(active_s * 1e9), "current": current, "offline": offline}


def description(*peers: dict[str, Any], tenure_s: int = 30) -> dict[str, Any]:
    """Return what the leader of a replicated stream says of its peers."""
    cluster_info = {"name": "c", "leader": "n1", "leader_since": "2026-11-27T10:00:00Z", "replicas": list(peers)}
    return {"ts": f"2026-11-27T10:00:{tenure_s:02}.123456789Z", "cluster": cluster_info}


@pytest.mark.parametrize(
    ("peers", "tenure_s", "silent"),
    [
        ([peer("n2", active_s=0.2), peer("n3", active_s=0.9)], 30, []),
        ([peer("n2", active_s=0.2), peer("n3", active_s=4.9)], 30, []),
        ([peer("n2", active_s=0.2), peer("n3", active_s=5.0)], 30, ["n3"]),
        ([peer("n2", active_s=0.2), peer("n3", active_s=0.2, offline=True)], 30, ["n3"]),
        ([peer("n2", active_s=0.2), peer("n3", active_s=0, current=False)], 1, []),
        ([peer("n2", active_s=0.2), peer("n3", active_s=0, current=False)], 2, ["n3"]),
        ([peer("n2", active_s=9), peer("n3", active_s=9)], 30, []),
        ([], 30, []),
    ],
)
def test_node_is_silent_if_a_leader_with_a_majority_misses_it(
    peers: list[dict[str, Any]], tenure_s: int, silent: list[str]
) -> None:
    """A node that is only slow answers heartbeats in between; a leader that misses most peers may be cut off itself."""
    assert silent_nodes(description(*peers, tenure_s=tenure_s)) == silent


class FakeCluster:
    """A cluster of three; the work queue answers, is silent or offline, and a claim may be held by a peer."""

    def __init__(self, *, queue: str, silent_s: float = 9.0, is_claimed: bool = False) -> None:
        """`silent_s`: how long ago a node was heard from. A replaced queue answers from the fourth look on."""
        self.queue = queue
        self.silent_s = silent_s
        self.is_claimed = is_claimed
        self.looks = 0
        self.node = "n3"
        self.deleted: list[str] = []

    async def api(self, subject: str, request: object = None, *, timeout_s: float = 5.0) -> dict[str, Any]:
        """Answer as the server does."""
        verb, _, name = subject.removeprefix("STREAM.").partition(".")
        if verb == "DELETE":
            self.deleted.append(name)
        if (verb, name) != ("INFO", "WORK"):
            return description(peer("n2", active_s=0.2), peer("n3", active_s=self.silent_s))
        if self.deleted:
            raise BusRefusedError(STREAM_NOT_FOUND, "stream not found")
        self.looks += 1
        if self.queue == "offline":
            raise BusRefusedError(10118, "stream is offline")
        if self.queue == "silent" or (self.queue == "replaced" and self.looks == 1):
            raise BusUnavailableError("no reply")
        return {"cluster": {"leader": self.node}}

    async def append(self, subject: str, payload: bytes, *, message_id: str, fence: tuple[str, int]) -> AppendResult:
        """Store a claim."""
        assert fence == (subject, 0)
        if self.is_claimed:
            raise FenceError("claimed by a peer")
        return AppendResult(1)


@pytest.mark.parametrize(
    ("queue", "silent_s", "is_claimed", "is_removed"),
    [
        ("silent", 9.0, False, True),
        ("offline", 0.2, False, True),
        ("silent", 9.0, True, False),  # a peer replaces it at this moment
        ("replaced", 9.0, False, False),  # a peer has replaced it before this process got the claim
        ("silent", 0.2, False, False),  # its node is slow, and lives
        ("answers", 9.0, False, False),
    ],
)
async def test_stream_is_removed_on_evidence_and_under_a_claim(
    queue: str, silent_s: float, *, is_claimed: bool, is_removed: bool
) -> None:
    """Otherwise it stays: the new stream of a peer holds turns already, and so does that of a slow node."""
    cluster = FakeCluster(queue=queue, silent_s=silent_s, is_claimed=is_claimed)
    assert await LostStreams(cast("Bus", cluster), claimant="test").remove("WORK") is is_removed
    assert cluster.deleted == (["WORK"] if is_removed else [])


@pytest.mark.parametrize(("node", "is_removed"), [("n3", True), ("n2", False)])
async def test_slow_queue_stays_while_another_node_is_lost(node: str, *, is_removed: bool) -> None:
    """The process knows the node of the queue from a look before; the leaders miss n3."""
    cluster = FakeCluster(queue="answers")
    cluster.node = node
    lost = LostStreams(cast("Bus", cluster), claimant="test")
    assert not await lost.remove("WORK")
    cluster.queue = "silent"
    assert await lost.remove("WORK") is is_removed
    assert cluster.deleted == (["WORK"] if is_removed else [])

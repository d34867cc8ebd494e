"""A suite on a NATS cluster of three: three copies of every message, loss of a node, restart of the suite."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_protocols import streams

from tests.support.customer import Customer
from tests.support.suite import Suite, trunkline, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

NODES = {"nats-1", "nats-2", "nats-3"}
REFUND = "I was charged twice for my order, can I get a refund?"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data directory of this module's suites."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def cluster(data_dir: Path) -> Iterator[Suite]:
    """Run one suite with three nodes."""
    running = Suite(data_dir, {"TRUNKLINE_MESSAGES_PER_S": "30"}, nodes=3)
    try:
        yield running
    finally:
        running.stop()


async def stream_info(bus: Bus, name: str) -> dict[str, Any]:
    return await bus.api(f"STREAM.INFO.{name}")


def test_metrics_show_the_copies_of_each_stream(cluster: Suite) -> None:
    """Of all, as the ingress sees them."""
    expected = {stream.name: "3.0" if stream.replicated else "1.0" for stream in streams.STREAMS}

    def copies(metric: str) -> dict[str, str]:
        url = cluster.status()["supervisor"]["detail"]["metrics"]
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own server
            page = str(response.read().decode())
        return dict(re.findall(rf'^{metric}\{{.*stream="(\w+)".*\}} (\S+)$', page, flags=re.MULTILINE))

    wait_until(lambda: copies("trunkline_stream_replicas_current") == expected, "all copies", timeout_s=60)
    assert copies("trunkline_stream_replicas") == expected
    assert set(copies("trunkline_stream_leader").values()) == {"1.0"}


async def test_replicated_streams_and_slots_have_three_copies(cluster: Suite) -> None:
    """The status lists the three servers. The work queue has one copy, whose loss loses no message."""
    assert cluster.status().keys() >= NODES
    bus = await connect(cluster.nats_url(), "test")
    try:
        for stream in streams.STREAMS:
            info = await stream_info(bus, stream.name)
            assert info["config"]["num_replicas"] == (3 if stream.replicated else 1), stream.name
        slot = streams.slot_consumer("local", 0)
        consumer = await bus.api(f"CONSUMER.INFO.{slot.stream}.{slot.name}")
        assert len(consumer["cluster"]["replicas"]) == 2
        assert consumer["config"]["mem_storage"] is True
    finally:
        await bus.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
@pytest.mark.parametrize("stream", ["INBOX", "WORK"])
async def test_loss_of_the_leader_of_a_stream_is_survived(cluster: Suite, stream: str, how: signal.Signals) -> None:
    """Messages are answered, by the same owner, while it is down and after its restart."""
    bus = await connect(cluster.nats_url(), "test")
    leader = (await stream_info(bus, stream))["cluster"]["leader"]
    await bus.close()
    async with Customer(cluster.url) as customer:
        await customer.start()
        await customer.ask("m1", REFUND)
        pid = cluster.pid(leader)
        os.kill(pid, how)
        await customer.ask("m2", REFUND)
        wait_until(lambda: cluster.pid(leader) not in {0, pid}, f"{leader} is restarted")
        await customer.ask("m3", REFUND)
        assert [message["in_reply_to"] for message in customer.frames_of("message")] == ["m1", "m2", "m3"]
        assert len({message["specialty"] for message in customer.frames_of("message")}) == 1


async def test_restart_on_the_same_folder_resumes_the_conversation(cluster: Suite, data_dir: Path) -> None:
    """A conversation survives a restart of all servers; --nodes defaults to their number, another one is refused."""
    async with Customer(cluster.url) as customer:
        await customer.start()
        await customer.ask("m1", REFUND)
        conversation, token, seq = customer.conversation, customer.resume_token, customer.last_seq
    assert cluster.stop() == 0

    refused = await asyncio.to_thread(
        subprocess.run,
        [trunkline(), "up", "--port", "0", "--data-dir", str(data_dir), "--nodes", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("trunkline: ")
    assert "--nodes 3" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

    again = Suite(data_dir)
    try:
        assert again.status().keys() >= NODES
        async with Customer(again.url) as customer:
            customer.conversation, customer.resume_token, customer.last_seq = conversation, token, seq
            assert (await customer.resume())["recovered"] is True
            await customer.ask("m2", REFUND)
    finally:
        assert again.stop() == 0

"""A service explains why it does not start yet, goes on trying, and starts once it can."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_chassis.backoff import backoff_s
from trunkline_chassis.errors import StartError
from trunkline_chassis.health import HealthServer

from tests.support.processes import Processes
from tests.support.suite import wait_until


def test_delays_grow_up_to_their_bound() -> None:
    """Half of a delay is spread."""
    longest = [backoff_s(failures, 1.0, min_s=0.5, max_s=30.0) for failures in range(1, 9)]
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert backoff_s(1_000_000, 0.0, min_s=0.5, max_s=30.0) == 15.0


async def test_port_in_use_is_one_line_and_can_be_tried_again() -> None:
    """A port below 1024 without the right to it fails in the same way."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = HealthServer("127.0.0.1", port, lambda: True)
        for _ in range(2):
            with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
                await server.start()
    assert await server.start() == f"http://127.0.0.1:{port}"
    await server.stop()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes of which none is started."""
    prepared = Processes(tmp_path)
    yield prepared
    prepared.stop_all()


@pytest.mark.processes
@pytest.mark.timeout(400)
def test_service_waits_for_nats_and_says_so(processes: Processes) -> None:
    """Away, then with a wrong password, then right: the same process becomes ready."""
    processes.start("conversation", TRUNKLINE_LOG_LEVEL="info")
    wait_until(lambda: "no NATS server at" in processes.log("conversation"), "the log says why it waits", 60)
    right = processes.credentials.passwords["conversation"]
    processes.credentials.passwords["conversation"] = "changed"
    processes.start_nats()
    refused = "refused the credentials of conversation"
    wait_until(lambda: refused in processes.log("conversation"), "the log names the refusal", 90)
    processes.stop("nats")
    processes.credentials.passwords["conversation"] = right
    processes.start_nats()
    processes.provision()
    wait_until(lambda: '"process.ready"' in processes.log("conversation"), "it is ready", 120)
    assert not processes.has_ended("conversation")
    assert "Traceback" not in processes.log("conversation")

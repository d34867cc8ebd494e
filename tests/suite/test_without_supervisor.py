"""Processes on their own, as in containers: no other process provisions again after NATS has lost its memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from trunkline_chassis.bus import connect

from tests.support.customer import Customer
from tests.support.processes import Processes
from tests.support.suite import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

READY_TIMEOUT_S = 300.0
QUESTION = "I was charged twice for my order, can I get a refund?"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """All processes, provisioned once."""
    running = Processes(tmp_path_factory.mktemp("processes"))
    running.start_nats()
    try:
        running.provision()
        running.start_services()
        wait_until(running.is_ready, "the ingress is ready", READY_TIMEOUT_S)
        yield running
    finally:
        running.stop_all()


def assert_answers(processes: Processes) -> None:
    """Send a message in a new conversation and expect the answer of the right agent."""
    done = processes.ask(QUESTION)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "-- billing /" in done.stdout


def test_restart_of_nats_is_survived(processes: Processes) -> None:
    """Streams and consumers in memory are gone, and each process re-creates its own."""
    assert_answers(processes)
    processes.stop("nats")
    wait_until(lambda: not processes.is_ready(), "readiness is withdrawn")
    processes.start_nats()
    wait_until(processes.is_ready, "the ingress is ready again", READY_TIMEOUT_S)
    assert_answers(processes)


async def test_accepted_message_is_answered_after_a_restart_of_nats(processes: Processes) -> None:
    """It was accepted before, while no agent was there."""
    async with Customer(processes.url) as customer:
        await customer.start()
        await customer.ask("m1", QUESTION)
        processes.stop("conversation")
        await customer.send({"type": "message", "id": "m2", "text": "How long does the refund take?"})
        await customer.until("accepted")
        processes.stop("nats")
        processes.start_nats()
        processes.start("conversation")
        wait_until(processes.is_ready, "the ingress is ready again", READY_TIMEOUT_S)
        answer = await customer.until("message")
        assert answer["in_reply_to"] == "m2"


def test_loss_of_all_data_is_survived(processes: Processes) -> None:
    """As without a volume: streams, buckets and fleet come back, and new conversations are answered."""
    processes.stop("nats")
    shutil.rmtree(processes.node.folder / "jetstream")
    processes.start_nats()
    wait_until(processes.is_ready, "the ingress is ready again", READY_TIMEOUT_S)
    assert_answers(processes)


def test_fleet_of_the_folder_is_published_if_no_process_knows_one(processes: Processes) -> None:
    """As after a restart of the machine without a volume."""
    processes.stop_all()
    shutil.rmtree(processes.node.folder / "jetstream")
    processes.start_nats()
    processes.start_services()
    wait_until(processes.is_ready, "the ingress is ready again", READY_TIMEOUT_S)
    assert_answers(processes)


async def test_deleted_stream_comes_back_without_a_reconnection(processes: Processes) -> None:
    """The first request that finds it missing starts the repair."""
    bus = await connect(processes.node.url, "supervisor", security=processes.credentials.security("supervisor"))
    await bus.api("STREAM.DELETE.WORK")
    await bus.close()
    wait_until(processes.is_ready, "the ingress is ready again", READY_TIMEOUT_S)
    assert_answers(processes)


def test_readiness_needs_a_process_of_each_service(processes: Processes) -> None:
    """A message that no conversation process would take is not answered."""
    wait_until(processes.is_ready, "the ingress is ready")
    for name, service in (
        ("conversation", "conversation"),
        ("agents-triage", "agents"),
        ("llm_gateway", "llm_gateway"),
    ):
        processes.stop(name)
        wait_until(lambda: not processes.is_ready(), f"not ready without {name}")
        variables = {"TRUNKLINE_SPECIALTY": "triage"} if service == "agents" else {}
        processes.start(service, name, **variables)
        wait_until(processes.is_ready, f"ready with {name} again", READY_TIMEOUT_S)

"""The agents process over a real NATS: work in, results out, and a clean stop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.fleet_store import publish_fleet, read_current_fleet
from trunkline_chassis.provision import provision_work
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.completion import Completed
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import PassagesFound
from trunkline_protocols.turn import AgentHeartbeat, AgentMessage, Answered, AnswerTurn, HandOff, Routed

from tests.agents.builders import make_agent, make_request, small_fleet
from tests.agents.fakes import PASSAGE
from tests.support.nats import nats_server

REGION = "local"

pytestmark = pytest.mark.processes

SPECIALTIES = ("triage", "billing", "technical")


class Requester:
    """A conversation process that sends turns and collects the agents' messages."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._messages: asyncio.Queue[AgentMessage] = asyncio.Queue()
        self.instance = Instance(f"conversation-{time.monotonic_ns()}")

    async def subscribe(self) -> None:
        async def on_message(message: Msg) -> None:
            self._messages.put_nowait(codec.result.decode(message.data))

        await self._bus.subscribe(subjects.result(self.instance), on_message)
        await self._bus.flush()

    async def send(self, request: AnswerTurn) -> None:
        subject = subjects.work(request.specialty, "normal")
        await self._bus.append(subject, codec.encode(request), message_id=f"{self.instance}-{request.ref.turn}")

    async def receive(self) -> AgentMessage:
        """Return the next result, without heartbeats."""
        async with asyncio.timeout(60):
            while isinstance(message := await self._messages.get(), AgentHeartbeat):
                pass
        return message


async def serve_collaborators(bus: Bus) -> None:
    """Serve the knowledge base and the gateway of the region with fixed replies."""

    async def on_search(message: Msg) -> None:
        await message.respond(codec.encode(PassagesFound(passages=[PASSAGE])))

    async def on_complete(message: Msg) -> None:
        await message.respond(codec.encode(Completed(text="Restart it.", provider="p", model="m")))

    await bus.subscribe(subjects.search(REGION), on_search)
    await bus.subscribe(subjects.complete(REGION), on_complete)
    await bus.flush()


@pytest.fixture
def nats_url(tmp_path: Path) -> Iterator[str]:
    """A server of this test alone: its account belongs to one region, and so do all processes that share it."""
    (tmp_path / "nats").mkdir()
    with nats_server(tmp_path / "nats") as url:
        yield url


@pytest.fixture
async def fleet_version(bus: Bus) -> int:
    """Publish the small fleet and return its version."""
    current = await read_current_fleet(bus)
    after = current.version if current is not None else 0
    return (await publish_fleet(bus, small_fleet(), after=after, by="test", origin="start")).version


@pytest.fixture
async def processes(
    bus: Bus, nats_url: str, tmp_path: Path, fleet_version: int
) -> AsyncIterator[dict[str, subprocess.Popen[bytes]]]:
    """Run one process per specialty of the small fleet."""
    del fleet_version  # the processes start with a published fleet
    await serve_collaborators(bus)
    started = {specialty: start_process(specialty, nats_url, tmp_path) for specialty in SPECIALTIES}
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def start_process(specialty: str, nats_url: str, folder: Path) -> subprocess.Popen[bytes]:
    name = "all" if specialty == "*" else specialty
    environment = os.environ | {
        "TRUNKLINE_NATS_URL": nats_url,
        "TRUNKLINE_SPECIALTY": specialty,
        "TRUNKLINE_INSTANCE": f"agents-{name}",
    }
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "trunkline_agents"]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


async def test_process_of_all_specialties_follows_the_fleet(
    bus: Bus, nats_url: str, tmp_path: Path, fleet_version: int
) -> None:
    """It answers what its triage routes, serves added specialties, and leaves the work of removed ones."""
    await serve_collaborators(bus)
    requester = Requester(bus)
    await requester.subscribe()
    process = start_process("*", nats_url, tmp_path)

    async def ask(specialty: str, text: str, *, hop: int = 1, may_continue: bool = False) -> None:
        turn = f"c{time.monotonic_ns()}-1"
        deadline_at = time.time() + 60
        await requester.send(
            make_request(
                text,
                specialty=specialty,
                turn=turn,
                hop=hop,
                reply_to=requester.instance,
                dispatched_at=time.time(),
                deadline_at=deadline_at,
                may_continue=may_continue,
            )
        )

    async def answering_specialty(specialty: str, text: str) -> str:
        await ask(specialty, text)
        result = await requester.receive()
        assert isinstance(result, Answered)
        return result.specialty

    try:
        await ask("triage", "I was charged twice on my invoice", hop=0)
        left = await requester.receive()
        assert isinstance(left, Routed)
        assert not left.continued
        await ask("triage", "I was charged twice on my invoice", hop=0, may_continue=True)
        routed, answered = await requester.receive(), await requester.receive()
        assert isinstance(routed, Routed)
        assert isinstance(answered, Answered)
        assert routed.continued
        assert (answered.specialty, answered.agent) == (routed.to, routed.agent) == ("billing", "billing-one")
        assert (answered.ref.hop, answered.ref.turn) == (routed.ref.hop + 1, routed.ref.turn)
        assert await answering_specialty("technical", "my thermostat is offline") == "technical"
        gardening = make_agent("gardening", ["how often do I water the roses", "the lawn turns yellow"])
        first = small_fleet()
        agents = [*(agent for agent in first.agents if agent.specialty != "technical"), gardening]
        changed = msgspec.structs.replace(first, agents=agents)
        await publish_fleet(bus, changed, after=fleet_version, by="test", origin="start")
        await provision_work(bus, ["gardening"])
        assert await answering_specialty("gardening", "how often do I water the roses") == "gardening"
        await ask("technical", "my thermostat is offline")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await requester.receive()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.wait()
        await bus.api(f"STREAM.PURGE.{streams.WORK.name}")


async def test_ready_process_has_its_queues(bus: Bus, nats_url: str, tmp_path: Path, fleet_version: int) -> None:
    """No other process creates the consumers of its specialty in time, for example without a supervisor."""
    del fleet_version
    consumer = streams.work_consumer("billing", "normal").name
    names = (await bus.api("CONSUMER.NAMES.WORK"))["consumers"] or []
    if consumer in names:
        await bus.api(f"CONSUMER.DELETE.WORK.{consumer}")
    process = start_process("billing", nats_url, tmp_path)
    try:
        async with asyncio.timeout(60):
            while '"process.ready"' not in (tmp_path / "billing.log").read_text():
                await asyncio.sleep(0.01)
        assert consumer in (await bus.api("CONSUMER.NAMES.WORK"))["consumers"]
    finally:
        process.kill()
        process.wait()


async def test_results_name_fleet_version_and_process(
    bus: Bus, processes: dict[str, subprocess.Popen[bytes]], fleet_version: int
) -> None:
    """Triage routes, billing hands off, technical answers; then each process stops cleanly."""
    requester = Requester(bus)
    await requester.subscribe()
    turn = f"c{time.monotonic_ns()}-1"

    async def work(number: int, text: str, specialty: str, hop: int) -> AgentMessage:
        request = make_request(
            text,
            specialty=specialty,
            turn=f"{turn}{number}",
            hop=hop,
            reply_to=requester.instance,
            dispatched_at=time.time(),
            deadline_at=time.time() + 60,
        )
        await requester.send(request)
        return await requester.receive()

    routed = await work(1, "I was charged twice on my invoice", "triage", 0)
    assert isinstance(routed, Routed)
    moved = await work(2, "my thermostat is offline", "billing", 0)
    assert isinstance(moved, HandOff)
    answered = await work(3, "my thermostat is offline", "technical", 1)
    assert isinstance(answered, Answered)
    assert (routed.to, moved.to, answered.text) == ("billing", "technical", "Restart it.")
    assert not routed.continued
    assert {routed.fleet_version, moved.fleet_version, answered.fleet_version} == {fleet_version}
    assert (moved.instance, answered.instance) == ("agents-billing", "agents-technical")
    assert [source.document for source in answered.retrieved] == [PASSAGE.document]
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
    assert [await asyncio.to_thread(process.wait, 15) for process in processes.values()] == [0, 0, 0]

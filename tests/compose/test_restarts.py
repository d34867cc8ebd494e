"""compose.yaml as it is: every restart of a container, of the engine or of a server without its volume is survived.

`./just compose-test` builds the images and runs this; otherwise it is skipped. Each test prints the time to the first
answer. As in the other tests search goes by words, unless TRUNKLINE_EMBEDDER names another embedder. The stand-in of
Milvus has no access control, so that its password is not tested.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.compose.stack import SERVICES, Stack
from tests.support.customer import Customer

DOCKERD_PID = os.environ.get("TRUNKLINE_DOCKERD_PID", "")
WITHIN_S = float(os.environ.get("TRUNKLINE_COMPOSE_WITHIN_S", "15"))
"""From the end of a restart to an answer."""
START_TIMEOUT_S = 300.0
QUESTION = "I was charged twice for my order, can I get a refund?"

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(900),
    pytest.mark.skipif("TRUNKLINE_COMPOSE_TEST" not in os.environ, reason="not requested: run ./just compose-test"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole project; its volumes are removed at the end."""
    running = Stack(tmp_path_factory.mktemp("compose"))
    try:
        running.compose("up", "--detach")
        print(f"\nready {running.wait_ready(START_TIMEOUT_S):.1f} s after the start")
        yield running
    finally:
        running.compose("down", "--volumes", "--remove-orphans")


async def answer(stack: Stack, *, within_s: float) -> float:
    """Ask in new conversations until one is answered; return the seconds that it took."""
    started = time.monotonic()
    while True:
        with suppress(AssertionError, TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(min(within_s, 15.0)), stack.customer() as customer:
                await customer.start()
                reply = await customer.ask("m1", QUESTION)
                assert reply["specialty"] == "billing"
                return time.monotonic() - started
        assert time.monotonic() - started < within_s, f"no answer within {within_s:g} s"
        await asyncio.sleep(0.2)


@asynccontextmanager
async def accepted_message(stack: Stack, *, within_s: float = 2 * WITHIN_S) -> AsyncIterator[Customer]:
    """Have a message accepted, and expect exactly one answer after the restart in the block, without a gap."""
    async with stack.customer() as customer:
        await customer.start()
        await customer.ask("m1", QUESTION)
        await customer.say("m2", "How long does the refund take?")
        while not any(frame["id"] == "m2" for frame in customer.frames_of("accepted")):
            await customer.receive()
        yield customer
        deadline = time.monotonic() + within_s
        while not any(frame["in_reply_to"] == "m2" for frame in customer.frames_of("message")):
            assert time.monotonic() < deadline, "the accepted message was not answered"
            with suppress(AssertionError, TimeoutError, aiohttp.ClientError, OSError):
                await customer.resume()
                async with asyncio.timeout(5):
                    await customer.until("message")
            await asyncio.sleep(0.2)
        answered = [frame["in_reply_to"] for frame in customer.frames_of("message")]
        assert sorted(answered) == ["m1", "m2"]


async def test_stack_answers(stack: Stack) -> None:
    """From the browser's port through every service, and the archive has it."""
    await answer(stack, within_s=60)


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "provision"])
async def test_restart_of_a_container_is_survived(stack: Stack, service: str) -> None:
    """A message that was accepted before is answered once, and a new one soon."""
    stack.wait_ready(120)
    async with accepted_message(stack):
        await asyncio.to_thread(stack.container(service).restart)
        seconds = await answer(stack, within_s=WITHIN_S)
    print(f"\n{service}: answered {seconds:.1f} s after its restart")


async def test_kill_of_nats_is_survived(stack: Stack) -> None:
    """As a power cut of its machine: nothing is flushed."""
    stack.wait_ready(120)
    async with accepted_message(stack):
        await asyncio.to_thread(stack.container("nats").kill)
        await asyncio.to_thread(stack.container("nats").start)
        seconds = await answer(stack, within_s=WITHIN_S)
    print(f"\nnats: answered {seconds:.1f} s after its kill")


async def test_loss_of_the_volume_of_nats_is_survived(stack: Stack) -> None:
    """No job provisions again: streams, buckets and the fleet come from the processes."""
    stack.wait_ready(120)
    stack.compose("rm", "--stop", "--force", "nats")
    await asyncio.to_thread(
        subprocess.run, ["docker", "volume", "rm", f"{stack.project}_nats"], check=True, capture_output=True
    )
    stack.compose("up", "--detach", "--no-deps", "nats")
    seconds = await answer(stack, within_s=WITHIN_S)
    print(f"\nnats without its volume: answered after {seconds:.1f} s")


@pytest.mark.skipif(not DOCKERD_PID, reason="the Docker engine was not started by ./just compose-test")
async def test_restart_of_the_engine_is_survived(stack: Stack) -> None:
    """As a reboot of the machine: every container starts again, in any order, and no job runs."""
    stack.wait_ready(120)
    # All processes start at once, as for the first time: that takes as long as the machine needs for it.
    async with accepted_message(stack, within_s=START_TIMEOUT_S):
        await asyncio.to_thread(restart_engine)
        seconds = await answer(stack, within_s=START_TIMEOUT_S)
    print(f"\nengine: answered {seconds:.1f} s after its restart")


def test_no_service_was_refused_a_right(stack: Stack) -> None:
    """The table of permissions covers everything that the processes do, losses included."""
    assert [line for line in stack.log("nats").splitlines() if "iolation" in line] == []


def restart_engine() -> None:
    """Stop the engine that the recipe has started, and start it again with the same arguments."""
    command = Path(f"/proc/{DOCKERD_PID}/cmdline").read_bytes().split(b"\0")[:-1]
    os.kill(int(DOCKERD_PID), signal.SIGTERM)
    while Path(f"/proc/{DOCKERD_PID}").exists() and b"dockerd" in Path(f"/proc/{DOCKERD_PID}/cmdline").read_bytes():
        time.sleep(0.1)
    log = Path(os.environ["TRUNKLINE_DOCKERD_LOG"]).open("ab")  # noqa: SIM115 - the engine keeps it
    subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    while subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        time.sleep(0.1)

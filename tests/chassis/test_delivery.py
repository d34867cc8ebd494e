"""What becomes of a message: acknowledged, tried again with growing delay, or kept as a dead letter."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st
from trunkline_chassis.bus import Bus
from trunkline_chassis.delivery import LONGEST_DELAY_S, Delivery, Done, Outcome, Reject, RetryLater, delay_s
from trunkline_chassis.provision import provision_work
from trunkline_chassis.pull_consumer import PullConsumer
from trunkline_protocols import codec, streams, subjects

PATIENCE_S = 15.0


class Worker:
    """A puller on a specialty's queue with a handler that the test chooses."""

    def __init__(
        self,
        bus: Bus,
        handle: Callable[[Delivery], Outcome],
        *,
        ack_first: bool = False,
        specialty: str = "billing",
    ) -> None:
        self.seen: list[Delivery] = []
        self._changed = asyncio.Condition()
        self._handle = handle
        consumer = streams.work_consumer(specialty, "normal")
        self.puller = PullConsumer(
            bus, stream=consumer.stream, consumer=consumer.name, capacity=4, handle=self._on, ack_first=ack_first
        )

    async def _on(self, delivery: Delivery) -> Outcome:
        async with self._changed:
            self.seen.append(delivery)
            self._changed.notify_all()
        return self._handle(delivery)

    async def until_seen(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.seen) >= count)


@pytest.fixture(autouse=True)
async def _empty_queue(bus: Bus) -> None:
    """Each test begins with an empty work queue."""
    await bus.api("STREAM.PURGE.WORK")


async def put(bus: Bus, payload: bytes = b"work", *, specialty: str = "billing") -> None:
    await bus.append(subjects.work(specialty, "normal"), payload, message_id=secrets.token_hex(8))


async def waiting(bus: Bus) -> int:
    """Messages left in the work queue."""
    info = await bus.api("STREAM.INFO.WORK")
    return int(info["state"]["messages"])


async def until_waiting(bus: Bus, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await waiting(bus) != count:
            await asyncio.sleep(0.02)


async def run_while(worker: Worker, check: Callable[[], object]) -> None:
    """Run the puller while the check does."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.puller.run())
        await check()  # type: ignore[misc]
        running.cancel()


async def test_done_work_leaves_the_queue(bus: Bus) -> None:
    """Acknowledged once, never again; more messages than the capacity all come."""
    worker = Worker(bus, lambda _: Done())
    for number in range(20):
        await put(bus, str(number).encode())

    async def check() -> None:
        await worker.until_seen(20)
        await until_waiting(bus, 0)

    await run_while(worker, check)
    assert sorted(int(delivery.payload) for delivery in worker.seen) == list(range(20))


async def test_work_to_be_retried_comes_again(bus: Bus) -> None:
    """Not now is not never."""
    worker = Worker(bus, lambda delivery: Done() if delivery.deliveries > 1 else RetryLater("busy", after_s=0.05))
    await put(bus)

    async def check() -> None:
        await worker.until_seen(2)
        await until_waiting(bus, 0)

    await run_while(worker, check)
    assert [delivery.deliveries for delivery in worker.seen] == [1, 2]


async def test_rejected_work_is_a_dead_letter_and_blocks_nobody(bus: Bus) -> None:
    """Visible with its reason, its place and its bytes."""
    worker = Worker(bus, lambda delivery: Reject("poison") if delivery.payload == b"poison" else Done())
    await put(bus, b"poison")
    await put(bus)

    async def check() -> None:
        await worker.until_seen(2)
        await until_waiting(bus, 0)

    await run_while(worker, check)
    last = await bus.last_message("DEAD_LETTERS", subjects.dead_letter("WORK", "agents-billing-normal"))
    assert last is not None
    letter = codec.dead_letter.decode(last.payload)
    assert (letter.reason, letter.payload, letter.subject) == ("poison", "poison", "work.billing.normal")


async def test_handler_that_raises_is_tried_again_and_then_given_up(bus: Bus) -> None:
    """An exception is no lost message: it ends as a dead letter after three tries."""

    def explode(_: Delivery) -> Outcome:
        raise ZeroDivisionError("division by zero")

    worker = Worker(bus, explode)
    await put(bus, b"explosive")

    async def check() -> None:
        await worker.until_seen(3)
        await until_waiting(bus, 0)

    await run_while(worker, check)
    last = await bus.last_message("DEAD_LETTERS", "dead.WORK.agents-billing-normal")
    assert last is not None
    assert codec.dead_letter.decode(last.payload).payload == "explosive"


async def test_draining_puller_takes_nothing_new(bus: Bus) -> None:
    """What is running is finished, what waits is left to others."""
    worker = Worker(bus, lambda _: Done())
    await put(bus)

    async def check() -> None:
        await worker.until_seen(1)
        await worker.puller.drain(5)

    await run_while(worker, check)
    await until_waiting(bus, 0)
    await put(bus)
    assert await waiting(bus) == 1


async def test_watched_work_is_acknowledged_before_it_is_handled(bus: Bus) -> None:
    """Its sender sends it again: the queue must not."""
    left: list[int] = []

    worker = Worker(bus, lambda _: Done(), ack_first=True)
    await put(bus)

    async def check() -> None:
        await worker.until_seen(1)
        await until_waiting(bus, 0)
        left.append(await waiting(bus))

    await run_while(worker, check)
    assert left == [0]


async def test_puller_waits_for_its_consumer_without_flooding_the_server(bus: Bus) -> None:
    """As while a consumer has no leader: every request is refused at once."""
    worker = Worker(bus, lambda _: Done(), specialty="parcels")
    sent: list[int] = []

    async def check() -> None:
        before = bus.client.stats["out_msgs"]
        await asyncio.sleep(2)
        sent.append(bus.client.stats["out_msgs"] - before)
        await provision_work(bus, ["parcels"])
        await put(bus, specialty="parcels")
        await worker.until_seen(1)

    await run_while(worker, check)
    assert 1 < sent[0] < 20


@given(st.floats(0.01, 5), st.integers(1, 200))
def test_delay_grows_and_is_capped(first_s: float, deliveries: int) -> None:
    """Never shorter than before, never longer than half a minute."""
    outcome = RetryLater("busy", after_s=first_s)
    assert delay_s(outcome, 1) == min(first_s, LONGEST_DELAY_S)
    assert delay_s(outcome, deliveries) <= delay_s(outcome, deliveries + 1) <= LONGEST_DELAY_S

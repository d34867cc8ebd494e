"""The pull consumer settles messages by outcome: acknowledged, retried with backoff, or dead-lettered."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable

import pytest
from nats.aio.msg import Msg
from trunkline_chassis import pull_consumer
from trunkline_chassis.bus import Bus
from trunkline_chassis.delivery import Delivery, Done, Outcome, Reject, RetryLater
from trunkline_chassis.provision import provision_work
from trunkline_chassis.pull_consumer import PullConsumer
from trunkline_protocols import codec, streams, subjects

TIMEOUT_S = 15.0


class Worker:
    """A consumer of a specialty's queue with the handler of a test."""

    def __init__(
        self,
        bus: Bus,
        handle: Callable[[Delivery], Outcome],
        *,
        ack_first: bool = False,
        specialty: str = "billing",
    ) -> None:
        self.deliveries: list[Delivery] = []
        self._changed = asyncio.Condition()
        self._handle = handle
        spec = streams.work_consumer(specialty, "normal")
        self.consumer = PullConsumer(
            bus, stream=spec.stream, consumer=spec.name, capacity=4, handle=self._on_delivery, ack_first=ack_first
        )

    async def _on_delivery(self, delivery: Delivery) -> Outcome:
        async with self._changed:
            self.deliveries.append(delivery)
            self._changed.notify_all()
        return self._handle(delivery)

    async def wait_for_deliveries(self, count: int) -> None:
        async with asyncio.timeout(TIMEOUT_S), self._changed:
            await self._changed.wait_for(lambda: len(self.deliveries) >= count)


@pytest.fixture(autouse=True)
async def _empty_queue(bus: Bus) -> None:
    """Empty the work queue before each test."""
    await bus.api("STREAM.PURGE.WORK")


async def publish_work(bus: Bus, payload: bytes = b"work", *, specialty: str = "billing") -> None:
    await bus.append(subjects.work(specialty, "normal"), payload, message_id=secrets.token_hex(8))


async def queue_depth(bus: Bus) -> int:
    """Return the number of messages in the work queue."""
    info = await bus.api("STREAM.INFO.WORK")
    return int(info["state"]["messages"])


async def wait_for_queue_depth(bus: Bus, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while await queue_depth(bus) != count:
            await asyncio.sleep(0.02)


async def run_while(worker: Worker, check: Callable[[], Awaitable[None]]) -> None:
    """Run the consumer until the check returns."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.consumer.run())
        await check()
        running.cancel()


async def test_done_work_leaves_the_queue(bus: Bus) -> None:
    """Every message is delivered once, also with more messages than capacity."""
    worker = Worker(bus, lambda _: Done())
    for number in range(20):
        await publish_work(bus, str(number).encode())

    async def check() -> None:
        await worker.wait_for_deliveries(20)
        await wait_for_queue_depth(bus, 0)

    await run_while(worker, check)
    assert sorted(int(delivery.payload) for delivery in worker.deliveries) == list(range(20))


async def test_work_to_be_retried_is_redelivered(bus: Bus) -> None:
    """The delivery count grows."""
    worker = Worker(bus, lambda delivery: Done() if delivery.deliveries > 1 else RetryLater("busy", after_s=0.05))
    await publish_work(bus)

    async def check() -> None:
        await worker.wait_for_deliveries(2)
        await wait_for_queue_depth(bus, 0)

    await run_while(worker, check)
    assert [delivery.deliveries for delivery in worker.deliveries] == [1, 2]


async def test_rejected_work_is_dead_lettered_and_blocks_no_other_message(bus: Bus) -> None:
    """The dead letter has the reason and the subject, but not the work: it is in clear, and is stored nowhere."""
    worker = Worker(bus, lambda delivery: Reject("poison") if delivery.payload == b"poison" else Done())
    await publish_work(bus, b"poison")
    await publish_work(bus)

    async def check() -> None:
        await worker.wait_for_deliveries(2)
        await wait_for_queue_depth(bus, 0)

    await run_while(worker, check)
    last = await bus.last_message("DEAD_LETTERS", subjects.dead_letter("WORK", "agents-billing-normal"))
    assert last is not None
    letter = codec.dead_letter.decode(last.payload)
    assert (letter.reason, letter.payload, letter.subject) == ("poison", "", "work.billing.normal")


async def test_message_of_a_raising_handler_is_retried_then_dead_lettered(bus: Bus) -> None:
    """Dead-lettered after three failed deliveries, never lost; the reason, which is logged, quotes no input."""

    def fail(_: Delivery) -> Outcome:
        raise KeyError("canary")

    worker = Worker(bus, fail)
    await publish_work(bus, b"explosive")

    async def check() -> None:
        await worker.wait_for_deliveries(3)
        await wait_for_queue_depth(bus, 0)

    await run_while(worker, check)
    last = await bus.last_message("DEAD_LETTERS", "dead.WORK.agents-billing-normal")
    assert last is not None
    letter = codec.dead_letter.decode(last.payload)
    assert (letter.payload, letter.reason) == ("", "KeyError")


async def test_drained_consumer_leaves_new_messages_to_others(bus: Bus) -> None:
    """Its request is still open: what it brought now would be cut off by the end of the process."""
    worker = Worker(bus, lambda _: Done())

    async def check() -> None:
        await publish_work(bus)
        await worker.wait_for_deliveries(1)
        await worker.consumer.drain(5)
        await publish_work(bus)
        await asyncio.sleep(0.5)  # an open request would bring it at once
        assert len(worker.deliveries) == 1
        assert await queue_depth(bus) == 1

    await run_while(worker, check)


async def test_draining_consumer_requests_no_more_messages(bus: Bus) -> None:
    """In-flight messages are finished, queued ones are left to other processes."""
    worker = Worker(bus, lambda _: Done())
    await publish_work(bus)

    async def check() -> None:
        await worker.wait_for_deliveries(1)
        await worker.consumer.drain(5)

    await run_while(worker, check)
    await wait_for_queue_depth(bus, 0)
    await publish_work(bus)
    assert await queue_depth(bus) == 1


async def test_ack_first_work_leaves_the_queue_before_it_is_handled(bus: Bus) -> None:
    """Its sender republishes it after a loss, so the queue must not redeliver it."""
    depths: list[int] = []

    worker = Worker(bus, lambda _: Done(), ack_first=True)
    await publish_work(bus)

    async def check() -> None:
        await worker.wait_for_deliveries(1)
        await wait_for_queue_depth(bus, 0)
        depths.append(await queue_depth(bus))

    await run_while(worker, check)
    assert depths == [0]


async def test_refused_requests_are_repeated_without_flooding_the_server(bus: Bus) -> None:
    """Every request is refused at once, as while a consumer has no leader."""
    worker = Worker(bus, lambda _: Done(), specialty="parcels")
    sent: list[int] = []

    async def check() -> None:
        before = bus.client.stats["out_msgs"]
        await asyncio.sleep(2)
        sent.append(bus.client.stats["out_msgs"] - before)
        await provision_work(bus, ["parcels"])
        await publish_work(bus, specialty="parcels")
        await worker.wait_for_deliveries(1)

    await run_while(worker, check)
    assert 1 < sent[0] < 20


async def test_request_to_a_lost_node_is_repeated_soon(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """No reply says that the node of a consumer is gone; its stream is created again on another one meanwhile."""
    monkeypatch.setattr(pull_consumer, "_HEARTBEAT_TIMEOUT_S", 2.0)
    monkeypatch.setattr(pull_consumer, "_REPEAT_INTERVAL_S", 0.5)
    requested_at: list[float] = []

    async def note(_: Msg) -> None:
        requested_at.append(asyncio.get_running_loop().time())

    name = f"lost-{secrets.token_hex(4)}"
    subscription = await bus.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.WORK.{name}", note)

    async def handle(_: Delivery) -> Outcome:
        return Done()

    consumer = PullConsumer(bus, stream="WORK", consumer=name, capacity=4, handle=handle)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(consumer.run())
        async with asyncio.timeout(TIMEOUT_S):
            while len(requested_at) < 5:
                await asyncio.sleep(0.02)
        running.cancel()
    await subscription.unsubscribe()
    gaps = [later - earlier for earlier, later in itertools.pairwise(requested_at)]
    assert gaps[0] > 1.5, "heartbeats may be late"
    assert min(gaps[1:]) < 1.5

"""The work queue on a real server: requests are neither duplicated nor lost."""

from __future__ import annotations

import time

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.provision import provision
from trunkline_conversation.adapters.jetstream_work_queue import JetStreamWorkQueue
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.context import Context
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnRef, turn_id
from trunkline_protocols.turn import AnswerTurn, WorkMessage

CONVERSATION = ConversationId("c0ffee")
BILLING = Specialty("billing")


@pytest.fixture
async def work_queue(bus: Bus) -> JetStreamWorkQueue:
    """Return the work queue, empty."""
    await bus.api(f"STREAM.PURGE.{streams.WORK.name}")
    return JetStreamWorkQueue(bus)


@pytest.fixture
def answer_turn() -> AnswerTurn:
    """Return a new request: the queue deduplicates by the message ids of earlier tests."""
    return AnswerTurn(
        ref=TurnRef(conversation=CONVERSATION, turn=turn_id(CONVERSATION, 7), attempt=1, hop=0, epoch=1),
        specialty=BILLING,
        agent="",
        text="Where is my refund?",
        context=Context(tenant="default", region="local", locale="en", transcript=[]),
        reply_to=Instance("conversation-1"),
        ingress=Instance("ingress-1"),
        dispatched_at=time.time(),
        deadline_at=time.time() + 60,
    )


async def queued(bus: Bus) -> list[WorkMessage]:
    stored = await bus.read_messages(streams.WORK.name, subjects.work_any(BILLING))
    return [codec.work.decode(message.payload) for message in stored]


async def delivered(bus: Bus) -> Msg:
    consumer = streams.work_consumer(BILLING, "normal")
    inbox = bus.client.new_inbox()
    subscription = await bus.client.subscribe(inbox)
    await bus.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}", b"1", reply=inbox)
    message = await subscription.next_msg(timeout=5)
    await subscription.unsubscribe()
    return message


async def test_queued_request_is_held(bus: Bus, work_queue: JetStreamWorkQueue, answer_turn: AnswerTurn) -> None:
    position = await work_queue.enqueue(answer_turn, "")
    assert await work_queue.holds(answer_turn, position)
    assert await queued(bus) == [answer_turn]


async def test_request_that_a_dead_worker_acknowledged_is_queued_again(
    bus: Bus, work_queue: JetStreamWorkQueue, answer_turn: AnswerTurn
) -> None:
    """It is queued again after every such loss."""
    position = await work_queue.enqueue(answer_turn, "")
    for _ in range(2):
        # An agents process acknowledges the work and dies before it publishes its claim.
        await (await delivered(bus)).ack_sync()
        assert await queued(bus) == []
        assert not await work_queue.holds(answer_turn, position)
        position = await work_queue.requeue(answer_turn, position, "")
        assert await queued(bus) == [answer_turn]


async def test_request_of_a_lost_queue_is_queued_in_the_new_one(
    bus: Bus, work_queue: JetStreamWorkQueue, answer_turn: AnswerTurn
) -> None:
    """Its position may hold another request in the new queue."""
    position = await work_queue.enqueue(answer_turn, "")
    await bus.api(f"STREAM.PURGE.{streams.WORK.name}")
    assert not await work_queue.holds(answer_turn, position)
    assert await work_queue.requeue(answer_turn, position, "") != position
    assert await queued(bus) == [answer_turn]


async def test_request_is_lost_with_its_queue_at_once(
    bus: Bus, work_queue: JetStreamWorkQueue, answer_turn: AnswerTurn
) -> None:
    """A queue that was removed with its node and is not created yet; one that does not answer says nothing."""
    position = await work_queue.enqueue(answer_turn, "")
    await bus.api(f"STREAM.DELETE.{streams.WORK.name}")
    try:
        assert await work_queue.holds(answer_turn, position) is False
    finally:
        await provision(bus, region="local", specialties=["triage", "billing", "technical"], replicas=1)
    await bus.close()
    assert await work_queue.holds(answer_turn, position) is None


async def test_work_is_redelivered_until_it_is_acknowledged(
    bus: Bus, work_queue: JetStreamWorkQueue, answer_turn: AnswerTurn
) -> None:
    """Deliveries to a broken connection are lost; their number is not limited."""
    await work_queue.enqueue(answer_turn, "")
    for _ in range(10):
        await (await delivered(bus)).respond(b"-NAK")
    await (await delivered(bus)).ack_sync()
    assert await queued(bus) == []


async def test_request_of_a_dead_release_is_queued_for_the_other_one(
    bus: Bus, work_queue: JetStreamWorkQueue, answer_turn: AnswerTurn
) -> None:
    """Each colour has a queue of its own."""
    position = await work_queue.enqueue(answer_turn, "green")
    assert await work_queue.holds(answer_turn, position)
    assert await work_queue.requeue(answer_turn, position, "blue") != position
    stored = await bus.read_messages(streams.WORK.name, subjects.work_any(BILLING))
    assert [subjects.parse_work(message.subject).colour for message in stored] == ["green", "blue"]

"""The queue of work as a conversation sees it, on a real server: nothing is asked twice, and nothing is given up."""

from __future__ import annotations

import time

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_conversation.adapters.jetstream import NatsOutside
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.context import Context
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnRef, turn_id
from trunkline_protocols.turn import AnswerTurn

CONVERSATION = ConversationId("c0ffee")
BILLING = Specialty("billing")


@pytest.fixture
async def outside(bus: Bus) -> NatsOutside:
    """The queue, empty."""
    await bus.api(f"STREAM.PURGE.{streams.WORK.name}")
    return NatsOutside(bus)


@pytest.fixture
def order() -> AnswerTurn:
    """A new order: the queue remembers those of other tests."""
    return AnswerTurn(
        ref=TurnRef(conversation=CONVERSATION, turn=turn_id(CONVERSATION, 7), attempt=1, hop=0, epoch=1),
        specialty=BILLING,
        agent="",
        text="Where is my refund?",
        context=Context(customer="ada", tenant="default", region="local", locale="en", transcript=[]),
        reply_to=Instance("conversation-1"),
        ingress=Instance("ingress-1"),
        dispatched_at=time.time(),
        deadline_at=time.time() + 60,
    )


async def waiting(bus: Bus) -> list[AnswerTurn]:
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


async def test_order_that_waits_is_not_put_into_the_queue_twice(
    bus: Bus, outside: NatsOutside, order: AnswerTurn
) -> None:
    place = await outside.ask(order)
    assert await outside.requeue(order, place) == place
    assert await waiting(bus) == [order]


async def test_order_that_was_taken_and_lost_is_put_into_the_queue_again(
    bus: Bus, outside: NatsOutside, order: AnswerTurn
) -> None:
    """And again, whenever that happens."""
    place = await outside.ask(order)
    for _ in range(2):
        # As an agents process takes it that dies before it says so.
        await (await delivered(bus)).ack_sync()
        assert await waiting(bus) == []
        place = await outside.requeue(order, place)
        assert await waiting(bus) == [order]


async def test_order_of_a_queue_that_was_lost_is_put_into_the_new_one(
    bus: Bus, outside: NatsOutside, order: AnswerTurn
) -> None:
    """Its place may be another's there."""
    place = await outside.ask(order)
    await bus.api(f"STREAM.PURGE.{streams.WORK.name}")
    assert await outside.requeue(order, place) != place
    assert await waiting(bus) == [order]


async def test_work_comes_again_until_somebody_acknowledges_it(
    bus: Bus, outside: NatsOutside, order: AnswerTurn
) -> None:
    """What goes to a connection that is cut is lost on its way, however often."""
    await outside.ask(order)
    for _ in range(10):
        await (await delivered(bus)).respond(b"-NAK")
    await (await delivered(bus)).ack_sync()
    assert await waiting(bus) == []

"""Lost deliveries: the conversation service finds the message through the waiting customer."""

from __future__ import annotations

from functools import partial

import pytest
from trunkline_chassis.bus import connect
from trunkline_chassis.provision import provision
from trunkline_protocols import streams
from trunkline_protocols.ids import ConversationId, partition_of, slot_of

from tests.support.customer import Customer
from tests.support.suite import Suite, wait_until

pytestmark = pytest.mark.processes


def is_replaced(suite: Suite, instance: str, pid: int) -> bool:
    """Return whether another process runs under the name."""
    return suite.pid(instance) not in {0, pid}


async def test_message_with_a_lost_delivery_is_answered(suite: Suite) -> None:
    """The slot's consumer delivers nothing, as after the loss of most in-memory replicas."""
    bus = await connect(suite.nats_url(), "lost-delivery")
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "Where is my parcel?")
        conversation = ConversationId(customer.conversation)
        consumer = streams.slot_consumer("local", slot_of(partition_of(conversation)))
        await bus.api(f"CONSUMER.PAUSE.{consumer.stream}.{consumer.name}", {"pause_until": "2099-01-01T00:00:00Z"})
        try:
            await customer.say("m2", "Where is my parcel?")
            answer = await customer.answer_to("m2")
        finally:
            await bus.api(f"CONSUMER.PAUSE.{consumer.stream}.{consumer.name}", {})
        assert answer["in_reply_to"] == "m2"
        assert (await customer.ask("m3", "Where is my parcel?"))["in_reply_to"] == "m3"
        assert [message["in_reply_to"] for message in customer.frames_of("message")] == ["m1", "m2", "m3"]
    await bus.close()


async def test_message_of_a_slot_without_an_owner_is_answered(suite: Suite) -> None:
    """The slot's consumer is missing, as during the election of its leader, and its owner had to release the slot."""
    bus = await connect(suite.nats_url(), "lost-delivery")
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "Where is my parcel?")
        slot = slot_of(partition_of(ConversationId(customer.conversation)))
        consumer = streams.slot_consumer("local", slot)
        await bus.api(f"CONSUMER.DELETE.{consumer.stream}.{consumer.name}")
        try:
            for instance in [name for name, process in suite.status().items() if process["service"] == "conversation"]:
                before = suite.kill(instance)
                wait_until(partial(is_replaced, suite, instance, before), f"{instance} is replaced")
            wait_until(lambda: bool(suite.get("/v1/ops/status")["ready"]), "everything is ready")
            assert (await customer.ask("m2", "Where is my parcel?"))["in_reply_to"] == "m2"
        finally:
            await provision(bus, region="local", specialties=[], replicas=1)
        assert (await customer.ask("m3", "Where is my parcel?"))["in_reply_to"] == "m3"
        assert [message["in_reply_to"] for message in customer.frames_of("message")] == ["m1", "m2", "m3"]
    await bus.close()

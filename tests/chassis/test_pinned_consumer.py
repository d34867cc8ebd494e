"""Pinned slots on a real server: delivery in order, to one process, with failover without a lost message."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.delivery import Delivery, Done, settle
from trunkline_chassis.pinned_consumer import PinnedConsumer
from trunkline_chassis.provision import provision
from trunkline_protocols import streams, subjects
from trunkline_protocols.ids import SLOTS, ConversationId, conversation_id, partition_of, slot_of

TIMEOUT_S = 20.0


class Member:
    """A member of the slot group: records deliveries, and acknowledges them unless `acknowledges` is false."""

    def __init__(self, bus: Bus, share: Callable[[], int], *, acknowledges: bool = True) -> None:
        self.bus = bus
        self.payloads: list[tuple[str, int]] = []
        self.released: list[int] = []
        self._acknowledges = acknowledges
        self._tasks: asyncio.TaskGroup | None = None
        self.consumer = PinnedConsumer(
            bus,
            [streams.slot_consumer("local", slot) for slot in range(SLOTS)],
            on_delivery=self._deliver,
            on_release=self.released.append,
            fair_share=share,
        )

    def _deliver(self, slot: int, delivery: Delivery) -> None:
        conversation = subjects.parse_conversation(delivery.subject).conversation
        assert slot_of(partition_of(conversation)) == slot
        self.payloads.append((conversation, int(delivery.payload)))
        if self._acknowledges and self._tasks is not None:
            self._tasks.create_task(settle(self.bus, delivery, Done()))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self.consumer.run()

    def received(self, conversation: ConversationId) -> list[int]:
        return [number for owner, number in self.payloads if owner == conversation]


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[list[asyncio.Task[None]]]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(member.run()) for member in members]
        yield started
        for task in started:
            task.cancel()


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.02)


async def delete_consumer(bus: Bus, slot: int) -> None:
    """Delete a slot's consumer: its clients see the same while no server leads it."""
    consumer = streams.slot_consumer("local", slot)
    await bus.api(f"CONSUMER.DELETE.{consumer.stream}.{consumer.name}")


async def restore_consumers(bus: Bus) -> None:
    await provision(bus, region="local", specialties=[], replicas=1)


async def publish(bus: Bus, conversation: ConversationId, number: int) -> None:
    await bus.append(subjects.inbox("local", conversation), str(number).encode(), message_id=f"{conversation}-{number}")


@pytest.fixture
def conversation() -> ConversationId:
    """A conversation that no other test uses."""
    return conversation_id(secrets.token_hex(10))


@pytest.fixture(autouse=True)
async def _empty_inbox(bus: Bus) -> None:
    """Empty the inbox before each test."""
    await bus.api("STREAM.PURGE.INBOX")


def conversations_in_every_slot(count: int) -> list[ConversationId]:
    """Return conversations of every slot: the pin of a slot without messages has no owner."""
    found: dict[int, list[ConversationId]] = {slot: [] for slot in range(SLOTS)}
    while min(map(len, found.values())) < count:
        conversation = conversation_id(secrets.token_hex(10))
        found[slot_of(partition_of(conversation))].append(conversation)
    return [conversation for slot in found.values() for conversation in slot[:count]]


async def test_messages_of_a_conversation_are_delivered_in_order(bus: Bus, conversation: ConversationId) -> None:
    """During the acquisition of the slot and after it."""
    member = Member(bus, lambda: SLOTS)
    async with running(member):
        for number in range(50):
            await publish(bus, conversation, number)
        await wait_until(lambda: len(member.received(conversation)) >= 50)
    assert member.received(conversation) == list(range(50))


async def test_unacknowledged_messages_of_a_dead_owner_come_first_and_in_order(
    nats_url: str, bus: Bus, conversation: ConversationId
) -> None:
    """The first owner dies without acknowledging; its successor needs no new message to start."""
    dying_bus = await connect(nats_url, "dying")
    dying = Member(dying_bus, lambda: SLOTS, acknowledges=False)
    async with running(dying):
        for number in range(5):
            await publish(bus, conversation, number)
        await wait_until(lambda: len(dying.received(conversation)) == 5)
    await dying_bus.close()
    successor = Member(bus, lambda: SLOTS)
    async with running(successor):
        await wait_until(lambda: len(successor.received(conversation)) >= 5)
        for number in range(5, 8):
            await publish(bus, conversation, number)
        await wait_until(lambda: len(successor.received(conversation)) >= 8)
    assert successor.received(conversation) == list(range(8))


async def test_successor_of_a_dead_process_does_not_wait_for_its_pin_to_expire(
    nats_url: str, bus: Bus, conversation: ConversationId
) -> None:
    """The old owner keeps pulling here, so its pin would never expire; once removed, it moves all the same."""
    dying_bus = await connect(nats_url, "dying")
    dying, successor = Member(dying_bus, lambda: SLOTS, acknowledges=False), Member(bus, lambda: share[0])
    share = [0]
    slot = slot_of(partition_of(conversation))
    async with running(dying, successor):
        for number in range(3):
            await publish(bus, conversation, number)
        await wait_until(lambda: len(dying.received(conversation)) == 3)
        share[0] = SLOTS
        await successor.consumer.take_over([slot])
        await wait_until(lambda: len(successor.received(conversation)) >= 3)
        assert slot in dying.released
    await dying_bus.close()
    assert successor.received(conversation) == list(range(3))


async def test_slot_is_acquired_as_soon_as_its_consumer_has_a_leader(bus: Bus, conversation: ConversationId) -> None:
    """Requests sent before are lost without an error."""
    member = Member(bus, lambda: SLOTS)
    await delete_consumer(bus, slot_of(partition_of(conversation)))
    async with running(member):
        await asyncio.sleep(1)
        await restore_consumers(bus)
        await publish(bus, conversation, 0)
        async with asyncio.timeout(10):
            await wait_until(lambda: member.received(conversation) == [0])


async def test_slot_that_cannot_be_reacquired_after_a_reconnection_is_released(
    bus: Bus, conversation: ConversationId
) -> None:
    """Another process may own it in the meantime, so its conversations must leave memory."""
    member = Member(bus, lambda: SLOTS)
    slot = slot_of(partition_of(conversation))
    async with running(member):
        await publish(bus, conversation, 0)
        await wait_until(lambda: member.received(conversation) == [0])
        await delete_consumer(bus, slot)
        await bus.client.force_reconnect()
        await wait_until(lambda: slot in member.released)
        await restore_consumers(bus)
        await publish(bus, conversation, 1)
        await wait_until(lambda: 1 in member.received(conversation))


async def test_two_processes_share_the_slots(nats_url: str, bus: Bus) -> None:
    """Under load each gets its fair share, and together they receive every message."""
    other_bus = await connect(nats_url, "other")
    one, two = Member(bus, lambda: SLOTS // 2), Member(other_bus, lambda: SLOTS // 2)
    conversations = conversations_in_every_slot(5)
    async with running(one, two):
        number = 0
        async with asyncio.timeout(TIMEOUT_S):
            while [len(member.consumer.held) for member in (one, two)] != [SLOTS // 2] * 2:
                for conversation in conversations:
                    await publish(bus, conversation, number)
                number += 1
                await asyncio.sleep(0.1)
        await wait_until(
            lambda: all(
                sorted({*one.received(conversation), *two.received(conversation)}) == list(range(number))
                for conversation in conversations
            )
        )
    await other_bus.close()


async def test_surplus_slots_move_to_a_new_process(nats_url: str, bus: Bus) -> None:
    """One process holds all slots; half of them move to a second one without a lost message."""
    share = [SLOTS]
    other_bus = await connect(nats_url, "other")
    first, second = Member(bus, lambda: share[0]), Member(other_bus, lambda: SLOTS // 2)
    conversations = conversations_in_every_slot(5)
    async with running(first):
        for conversation in conversations:
            await publish(bus, conversation, 0)
        await wait_until(lambda: len(first.consumer.held) == SLOTS)
        share[0] = SLOTS // 2
        async with running(second):
            number = 0
            while len(second.consumer.held) < SLOTS // 2:
                number += 1
                for conversation in conversations:
                    await publish(bus, conversation, number)
                await asyncio.sleep(0.1)
            expected = list(range(number + 1))
            await wait_until(
                lambda: all(
                    sorted({*first.received(conversation), *second.received(conversation)}) == expected
                    for conversation in conversations
                )
            )
    assert len(set(first.released)) == SLOTS // 2
    await other_bus.close()

"""Pinned slots on a real server: in order, by one process, taken over without a lost message."""

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

PATIENCE_S = 20.0


class Member:
    """A conversation process as far as slots go: takes deliveries, acknowledges when the test says so."""

    def __init__(self, bus: Bus, share: Callable[[], int], *, acknowledges: bool = True) -> None:
        self.bus = bus
        self.payloads: list[tuple[str, int]] = []
        self.released: list[int] = []
        self._acknowledges = acknowledges
        self._tasks: asyncio.TaskGroup | None = None
        self.puller = PinnedConsumer(
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
            await self.puller.run()

    def of(self, conversation: ConversationId) -> list[int]:
        return [number for owner, number in self.payloads if owner == conversation]


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[list[asyncio.Task[None]]]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(member.run()) for member in members]
        yield started
        for task in started:
            task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def lose(bus: Bus, slot: int) -> None:
    """Take a slot's consumer away, as its clients see it while none of the servers leads it."""
    consumer = streams.slot_consumer("local", slot)
    await bus.api(f"CONSUMER.DELETE.{consumer.stream}.{consumer.name}")


async def restore(bus: Bus) -> None:
    await provision(bus, region="local", specialties=[], replicas=1)


async def put(bus: Bus, conversation: ConversationId, number: int) -> None:
    await bus.append(subjects.inbox("local", conversation), str(number).encode(), message_id=f"{conversation}-{number}")


@pytest.fixture
def conversation() -> ConversationId:
    """A conversation of this test's own."""
    return conversation_id(secrets.token_hex(10))


@pytest.fixture(autouse=True)
async def _empty_inbox(bus: Bus) -> None:
    """Each test begins with an empty inbox."""
    await bus.api("STREAM.PURGE.INBOX")


def in_every_slot(count: int) -> list[ConversationId]:
    """Conversations that fall into every slot: one without messages is pinned to nobody."""
    found: dict[int, list[ConversationId]] = {slot: [] for slot in range(SLOTS)}
    while min(map(len, found.values())) < count:
        conversation = conversation_id(secrets.token_hex(10))
        found[slot_of(partition_of(conversation))].append(conversation)
    return [conversation for slot in found.values() for conversation in slot[:count]]


async def test_messages_of_a_conversation_come_in_order(bus: Bus, conversation: ConversationId) -> None:
    """Through the taking of the slot and after it."""
    member = Member(bus, lambda: SLOTS)
    async with running(member):
        for number in range(50):
            await put(bus, conversation, number)
        await until(lambda: len(member.of(conversation)) >= 50)
    assert member.of(conversation) == list(range(50))


async def test_what_a_dead_owner_left_comes_first_and_in_order(
    nats_url: str, bus: Bus, conversation: ConversationId
) -> None:
    """The first owner dies with everything unacknowledged; no new message is needed to wake its heir."""
    doomed_bus = await connect(nats_url, "doomed")
    doomed = Member(doomed_bus, lambda: SLOTS, acknowledges=False)
    async with running(doomed):
        for number in range(5):
            await put(bus, conversation, number)
        await until(lambda: len(doomed.of(conversation)) == 5)
    await doomed_bus.close()
    heir = Member(bus, lambda: SLOTS)
    async with running(heir):
        await until(lambda: len(heir.of(conversation)) >= 5)
        for number in range(5, 8):
            await put(bus, conversation, number)
        await until(lambda: len(heir.of(conversation)) >= 8)
    assert heir.of(conversation) == list(range(8))


async def test_heir_of_a_process_that_is_known_to_be_dead_does_not_wait_for_its_pin_to_lapse(
    nats_url: str, bus: Bus, conversation: ConversationId
) -> None:
    """The dead one goes on pulling here, so that its pin would never lapse: taken away, it moves all the same."""
    doomed_bus = await connect(nats_url, "doomed")
    doomed, heir = Member(doomed_bus, lambda: SLOTS, acknowledges=False), Member(bus, lambda: share[0])
    share = [0]
    slot = slot_of(partition_of(conversation))
    async with running(doomed, heir):
        for number in range(3):
            await put(bus, conversation, number)
        await until(lambda: len(doomed.of(conversation)) == 3)
        share[0] = SLOTS
        await heir.puller.take_over([slot])
        await until(lambda: len(heir.of(conversation)) >= 3)
        assert slot in doomed.released
    await doomed_bus.close()
    assert heir.of(conversation) == list(range(3))


async def test_slot_that_nobody_led_for_a_while_is_taken_as_soon_as_somebody_does(
    bus: Bus, conversation: ConversationId
) -> None:
    """The requests of that time are lost, and nobody says so."""
    member = Member(bus, lambda: SLOTS)
    await lose(bus, slot_of(partition_of(conversation)))
    async with running(member):
        await asyncio.sleep(1)
        await restore(bus)
        await put(bus, conversation, 0)
        async with asyncio.timeout(10):
            await until(lambda: member.of(conversation) == [0])


async def test_slot_that_cannot_be_taken_again_after_a_reconnection_is_released(
    bus: Bus, conversation: ConversationId
) -> None:
    """Another process may answer there meanwhile: what is remembered of its conversations must go."""
    member = Member(bus, lambda: SLOTS)
    slot = slot_of(partition_of(conversation))
    async with running(member):
        await put(bus, conversation, 0)
        await until(lambda: member.of(conversation) == [0])
        await lose(bus, slot)
        await bus.client.force_reconnect()
        await until(lambda: slot in member.released)
        await restore(bus)
        await put(bus, conversation, 1)
        await until(lambda: 1 in member.of(conversation))


async def test_two_processes_share_the_slots(nats_url: str, bus: Bus) -> None:
    """Under load each gets its fair share, and together they serve everybody."""
    other_bus = await connect(nats_url, "other")
    one, two = Member(bus, lambda: SLOTS // 2), Member(other_bus, lambda: SLOTS // 2)
    conversations = in_every_slot(5)
    async with running(one, two):
        number = 0
        async with asyncio.timeout(PATIENCE_S):
            while [len(member.puller.held) for member in (one, two)] != [SLOTS // 2] * 2:
                for conversation in conversations:
                    await put(bus, conversation, number)
                number += 1
                await asyncio.sleep(0.1)
        await until(
            lambda: all(
                sorted({*one.of(conversation), *two.of(conversation)}) == list(range(number))
                for conversation in conversations
            )
        )
    await other_bus.close()


async def test_surplus_slots_are_given_to_who_comes(nats_url: str, bus: Bus) -> None:
    """One process holds everything; another comes, and half of the slots move without a lost message."""
    share = [SLOTS]
    other_bus = await connect(nats_url, "other")
    first, second = Member(bus, lambda: share[0]), Member(other_bus, lambda: SLOTS // 2)
    conversations = in_every_slot(5)
    async with running(first):
        for conversation in conversations:
            await put(bus, conversation, 0)
        await until(lambda: len(first.puller.held) == SLOTS)
        share[0] = SLOTS // 2
        async with running(second):
            number = 0
            while len(second.puller.held) < SLOTS // 2:
                number += 1
                for conversation in conversations:
                    await put(bus, conversation, number)
                await asyncio.sleep(0.1)
            expected = list(range(number + 1))
            await until(
                lambda: all(
                    sorted({*first.of(conversation), *second.of(conversation)}) == expected
                    for conversation in conversations
                )
            )
    assert len(set(first.released)) == SLOTS // 2
    await other_bus.close()

"""Handlers of messages of agents, ingresses and peers, on fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.latency import RecentLatency
from trunkline_conversation.application.registry import ConversationRegistry
from trunkline_conversation.core.ownership import SlotOwnership
from trunkline_conversation.handlers import InboxHandler, PeerHandlers, watch_overdue
from trunkline_conversation.ports import InboxItem
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import SLOTS, Instance, partition_of, slot_of
from trunkline_protocols.log import Breached
from trunkline_protocols.presence import Presence
from trunkline_protocols.turn import SocketAttached

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import CONVERSATION, environment, received
from tests.conversation.test_ownership import presence

SLOT = slot_of(partition_of(CONVERSATION))
OWN = "conversation-1"


@dataclass
class FakeSlotConsumer:
    """Records takeovers."""

    held: list[int] = field(default_factory=list)
    taken_over: list[int] = field(default_factory=list)

    async def take_over(self, slots: Iterable[int]) -> None:
        self.taken_over.extend(slots)


class HandlersHarness:
    """The handlers of a process with one conversation on fakes."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.actors = ActorHarness()
        self.consumer = FakeSlotConsumer()
        self.alive: list[Presence] = [presence(OWN)]
        self.conversations = ConversationRegistry(
            lambda _: self.actors.actor,
            is_finishing_elsewhere=lambda _: False,
            on_finishing_changed=lambda: None,
            budget_bytes=2**20,
            latency=RecentLatency(),
        )
        unconnected = Bus(Client())
        inbox = InboxHandler(unconnected, self.conversations, self.actors.log, tasks)
        self.peers = PeerHandlers(self.conversations, inbox, self.consumer, self._ownership, tasks)

    def _ownership(self) -> SlotOwnership:
        return SlotOwnership(OWN, self.alive)

    async def attach(self) -> None:
        """Handle the announcement of an ingress."""
        attached = SocketAttached(conversation=CONVERSATION, ingress=Instance("ingress-2"))
        await self.peers.on_attached(message(subjects.attach("local", CONVERSATION), codec.encode(attached)))


def message(subject: str, payload: bytes) -> Msg:
    return Msg(Client(), subject=subject, data=payload)


@asynccontextmanager
async def running_handlers() -> AsyncIterator[HandlersHarness]:
    """Run the registry of a new harness."""
    async with asyncio.TaskGroup() as tasks:
        harness = HandlersHarness(tasks)
        running = tasks.create_task(harness.conversations.run())
        await asyncio.sleep(0)
        yield harness
        running.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def settled(harness: HandlersHarness) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    await until(lambda: not harness.conversations.active)


async def test_owner_of_the_slot_answers_an_undelivered_message_when_a_socket_attaches() -> None:
    """The stream holds the message although the consumer never delivered it."""
    async with running_handlers() as harness:
        harness.actors.log.messages.append(InboxItem(1, received(1)))
        harness.consumer.held = [SLOT]
        await harness.attach()
        await until(lambda: harness.actors.log.answers() == ["m1"])
        assert harness.conversations.finishing == []


async def test_stand_in_answers_an_undelivered_message_if_no_process_holds_the_slot() -> None:
    """The only ready process stands in for an unheld slot."""
    async with running_handlers() as harness:
        harness.actors.log.messages.append(InboxItem(1, received(1)))
        await harness.attach()
        await until(lambda: harness.actors.log.answers() == ["m1"])


async def test_process_ignores_undelivered_messages_of_a_slot_that_a_peer_holds() -> None:
    """The holder of the slot is responsible for them."""
    async with running_handlers() as harness:
        harness.actors.log.messages.append(InboxItem(1, received(1)))
        harness.alive.append(presence("conversation-2", slots=(SLOT,)))
        await harness.attach()
        await settled(harness)
        assert harness.actors.log.answers() == []


@pytest.mark.parametrize("payload", [b"", b"{", b'{"type": "unknown"}'])
async def test_undecodable_messages_of_peers_are_ignored(payload: bytes) -> None:
    """They are logged; a timeout or the next announcement replaces them."""
    async with running_handlers() as harness:
        await harness.peers.on_attached(message(subjects.attach("local", CONVERSATION), payload))
        await harness.peers.on_attached(message("attach.local.x", payload))
        await harness.peers.on_result(message(subjects.result(Instance(OWN)), payload))
        await settled(harness)
        assert harness.actors.log.answers() == []


async def test_slots_of_a_departing_peer_are_taken_over() -> None:
    """With a second ready process, each takes over its part."""
    async with running_handlers() as harness:
        harness.alive.append(presence("conversation-2"))
        harness.peers.on_departure(presence("conversation-3", "failed", slots=tuple(range(SLOTS))))
        await until(lambda: bool(harness.consumer.taken_over))
        assert harness.consumer.taken_over == [0, 2, 4, 6]


async def test_departure_without_inherited_slots_is_ignored() -> None:
    """Examples are the own departure, and a process of another service."""
    async with running_handlers() as harness:
        harness.peers.on_departure(presence(OWN, "draining", slots=(0, 1)))
        harness.peers.on_departure(presence("agents-billing-1", "draining"))
        await settled(harness)
        assert harness.consumer.taken_over == []


@pytest.mark.parametrize(("held", "breaches"), [([SLOT], 1), ([], 0)], ids=["held", "not held"])
async def test_overdue_escalations_of_held_slots_are_raised(held: list[int], breaches: int) -> None:
    """A process raises only the escalations of its own slots, because only one process may."""
    async with running_handlers() as harness:
        actors = harness.actors
        actors.deliver(1, received(1, text="I want to speak to a person"))
        await actors.actor.run()
        due_at = actors.escalation_queue.waiting[CONVERSATION].escalation.due_at
        actors.environment = environment(now=due_at + 1)
        polls = 0

        def now() -> float:
            nonlocal polls
            polls += 1
            return due_at + 1

        async with asyncio.TaskGroup() as tasks:
            watch = watch_overdue(harness.conversations, actors.escalation_queue, held_slots=lambda: held, now=now)
            watching = tasks.create_task(watch)
            await until(lambda: polls == 2)
            watching.cancel()
        await settled(harness)
        assert sum(isinstance(event, Breached) for event in actors.log.events()) == breaches

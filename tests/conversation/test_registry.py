"""The registry of conversations while slots move: in-flight turns stay, later messages go to the new owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from trunkline_chassis.latency import RecentLatency
from trunkline_conversation.application.actor import ConversationActor, Envelope
from trunkline_conversation.application.registry import ConversationRegistry
from trunkline_conversation.ports import InboxItem
from trunkline_protocols.ids import ConversationId, partition_of, slot_of
from trunkline_protocols.turn import AnswerTurn

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import CONVERSATION, received

SLOT = slot_of(partition_of(CONVERSATION))


class ProcessHarness:
    """A conversation process on fakes; its agents answer when the test calls `answer`."""

    def __init__(
        self,
        harness: ActorHarness,
        is_finishing_elsewhere: Callable[[ConversationId], bool] = lambda _: False,
    ) -> None:
        self.harness = harness
        self.waiting: list[AnswerTurn] = []
        self.published: list[list[str]] = []
        self.acknowledged: list[int] = []
        self.conversations = ConversationRegistry(
            self.create,
            is_finishing_elsewhere=is_finishing_elsewhere,
            on_finishing_changed=lambda: self.published.append(self.conversations.finishing),
            budget_bytes=2**20,
            latency=RecentLatency(),
        )
        harness.work_queue.react = self.react

    def create(self, _: ConversationId) -> ConversationActor:
        """Create an actor; the agents of the harness answer the latest one."""
        self.harness.actor = self.harness.new_actor()
        return self.harness.actor

    def react(self, request: AnswerTurn) -> None:
        """Let triage answer immediately and queue the requests for other agents."""
        if request.specialty == "triage":
            self.harness.answer(request)
        else:
            self.waiting.append(request)

    def answer(self) -> None:
        """Answer the oldest queued request."""
        self.harness.answer(self.waiting.pop(0))

    def deliver(self, number: int, *, standing_in: bool = False) -> None:
        """Deliver the n-th message."""

        async def done() -> None:
            self.acknowledged.append(number)

        async def dead_letter(reason: str) -> None:
            raise AssertionError(reason)

        item = InboxItem(number, received(number, previous=number - 1))
        envelope = Envelope(number, item, done=done, dead_letter=dead_letter)
        self.conversations.offer(CONVERSATION, envelope, standing_in=standing_in)


@asynccontextmanager
async def running(*processes: ProcessHarness) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(process.conversations.run()) for process in processes]
        await asyncio.sleep(0)
        yield
        for task in started:
            task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_in_flight_turn_is_finished_and_no_later_one_is_started() -> None:
    """Messages queued behind it stay unacknowledged: they are redelivered to the new owner of the slot."""
    process = ProcessHarness(ActorHarness())
    async with running(process):
        process.deliver(1)
        process.deliver(2)
        await until(lambda: bool(process.waiting))
        process.conversations.release_slot(SLOT)
        assert process.conversations.finishing == [CONVERSATION]
        process.answer()
        await until(lambda: not process.conversations.active)
    assert process.harness.log.answers() == ["m1"]
    assert process.acknowledged == [1]
    assert process.published == [[CONVERSATION], []]


async def test_new_owner_does_not_start_a_turn_that_is_still_being_finished() -> None:
    """It waits for that conversation, publishes its answer again and continues with the next message."""
    leaving = ProcessHarness(ActorHarness())
    harness = ActorHarness()
    harness.log = leaving.harness.log
    successor = ProcessHarness(
        harness, is_finishing_elsewhere=lambda conversation: conversation in leaving.conversations.finishing
    )
    async with running(leaving, successor):
        leaving.deliver(1)
        await until(lambda: bool(leaving.waiting))
        leaving.conversations.release_slot(SLOT)
        successor.deliver(1)
        successor.deliver(2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert successor.waiting == []
        leaving.answer()
        await until(lambda: bool(successor.waiting))
        successor.answer()
        await until(lambda: not successor.conversations.active)
    assert leaving.harness.log.answers() == ["m1", "m2"]
    assert [request.text for request in harness.work_queue.requests] == [received(2).text]
    assert successor.acknowledged == [1, 2]


async def test_slot_that_returns_immediately_starts_no_turn_twice() -> None:
    """A lost leader removes every pin for a moment, and the same message is redelivered in between."""
    process = ProcessHarness(ActorHarness())
    async with running(process):
        process.deliver(1)
        await until(lambda: bool(process.waiting))
        process.conversations.release_slot(SLOT)
        process.deliver(1)
        process.deliver(2)
        process.answer()
        await until(lambda: bool(process.waiting))
        process.answer()
        await until(lambda: not process.conversations.active)
    assert process.harness.log.answers() == ["m1", "m2"]
    assert process.acknowledged == [1, 2]


async def test_stand_in_publishes_the_turn_and_evicts_the_conversation() -> None:
    """A process that acquires the slot in between waits for the turn and continues from the log."""
    harness = ActorHarness()
    process = ProcessHarness(harness)
    async with running(process):
        process.deliver(1, standing_in=True)
        await until(lambda: len(process.waiting) == 1)
        assert process.published == [[CONVERSATION]]
        process.answer()
        await until(lambda: process.acknowledged == [1])
        await until(lambda: process.published[-1] == [])
        first = harness.actor
        process.deliver(2)
        await until(lambda: len(process.waiting) == 1)
        assert harness.actor is not first
        process.answer()
        await until(lambda: process.acknowledged == [1, 2])
    assert harness.log.answers() == ["m1", "m2"]

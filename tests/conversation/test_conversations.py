"""A slot moves between processes: the turn under way is finished where it was begun, everything after it elsewhere."""

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

from tests.conversation.actor_harness import Scene
from tests.conversation.builders import CONVERSATION, received

SLOT = slot_of(partition_of(CONVERSATION))


class Member:
    """A conversation process, on the fakes of a scene; its agents answer when the test says so."""

    def __init__(self, scene: Scene, finished_elsewhere: Callable[[ConversationId], bool] = lambda _: False) -> None:
        self.scene = scene
        self.waiting: list[AnswerTurn] = []
        self.told: list[list[str]] = []
        self.acknowledged: list[int] = []
        self.conversations = ConversationRegistry(
            self.create,
            finished_elsewhere=finished_elsewhere,
            on_let_go=lambda: self.told.append(self.conversations.finishing),
            budget_bytes=2**20,
            latency=RecentLatency(),
        )
        scene.outside.react = self.react

    def create(self, _: ConversationId) -> ConversationActor:
        """The scene's agents answer the actor that was made last."""
        self.scene.actor = self.scene.new_actor()
        return self.scene.actor

    def react(self, order: AnswerTurn) -> None:
        """Triage answers at once, the others wait for `answer`."""
        if order.specialty == "triage":
            self.scene.answer(order)
        else:
            self.waiting.append(order)

    def answer(self) -> None:
        """Let the agent answer that was asked first."""
        self.scene.answer(self.waiting.pop(0))

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
async def running(*members: Member) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(member.conversations.run()) for member in members]
        await asyncio.sleep(0)
        yield
        for task in started:
            task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_turn_under_way_is_finished_and_nothing_after_it_is_begun() -> None:
    """What waited behind it stays unacknowledged: it is delivered to whoever has the slot now."""
    member = Member(Scene())
    async with running(member):
        member.deliver(1)
        member.deliver(2)
        await until(lambda: bool(member.waiting))
        member.conversations.release_slot(SLOT)
        assert member.conversations.finishing == [CONVERSATION]
        member.answer()
        await until(lambda: not member.conversations.active)
    assert member.scene.log.answers() == ["m1"]
    assert member.acknowledged == [1]
    assert member.told == [[CONVERSATION], []]


async def test_who_takes_the_slot_does_not_begin_a_turn_that_is_still_being_finished() -> None:
    """It waits for that conversation, tells its answer again, and goes on with the next message."""
    leaving = Member(Scene())
    scene = Scene()
    scene.log = leaving.scene.log
    heir = Member(scene, finished_elsewhere=lambda conversation: conversation in leaving.conversations.finishing)
    async with running(leaving, heir):
        leaving.deliver(1)
        await until(lambda: bool(leaving.waiting))
        leaving.conversations.release_slot(SLOT)
        heir.deliver(1)
        heir.deliver(2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert heir.waiting == []
        leaving.answer()
        await until(lambda: bool(heir.waiting))
        heir.answer()
        await until(lambda: not heir.conversations.active)
    assert leaving.scene.log.answers() == ["m1", "m2"]
    assert [order.text for order in scene.outside.orders] == [received(2).text]
    assert heir.acknowledged == [1, 2]


async def test_slot_that_comes_back_at_once_begins_no_turn_a_second_time() -> None:
    """A lost leader takes every pin away for a moment; the same message is delivered again meanwhile."""
    member = Member(Scene())
    async with running(member):
        member.deliver(1)
        await until(lambda: bool(member.waiting))
        member.conversations.release_slot(SLOT)
        member.deliver(1)
        member.deliver(2)
        member.answer()
        await until(lambda: bool(member.waiting))
        member.answer()
        await until(lambda: not member.conversations.active)
    assert member.scene.log.answers() == ["m1", "m2"]
    assert member.acknowledged == [1, 2]


async def test_who_stands_in_says_so_and_remembers_nothing() -> None:
    """Whoever takes the slot meanwhile waits for the turn, and goes on from the log."""
    scene = Scene()
    member = Member(scene)
    async with running(member):
        member.deliver(1, standing_in=True)
        await until(lambda: len(member.waiting) == 1)
        assert member.told == [[CONVERSATION]]
        member.answer()
        await until(lambda: member.acknowledged == [1])
        await until(lambda: member.told[-1] == [])
        first = scene.actor
        member.deliver(2)
        await until(lambda: len(member.waiting) == 1)
        assert scene.actor is not first
        member.answer()
        await until(lambda: member.acknowledged == [1, 2])
    assert scene.log.answers() == ["m1", "m2"]

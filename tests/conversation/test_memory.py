"""What a conversation costs in memory: bounded, however long it gets, and given back when others need it."""

from __future__ import annotations

import asyncio

from trunkline_chassis.latency import RecentLatency
from trunkline_conversation.application.actor import ConversationActor, Envelope
from trunkline_conversation.application.registry import ConversationRegistry
from trunkline_conversation.core.decisions import on_result
from trunkline_conversation.core.state import (
    LONGEST_UTTERANCE,
    RECENT_CHARACTERS,
    RECENT_UTTERANCES,
    Conversation,
    to_snapshot,
)
from trunkline_conversation.core.steps import Append
from trunkline_conversation.core.summary import LONGEST_SUMMARY
from trunkline_conversation.ports import InboxItem
from trunkline_protocols import codec
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import TurnAnswered

from tests.conversation.actor_harness import Scene
from tests.conversation.builders import answered, begun, committed, environment, fresh, received


def after_turn(state: Conversation, number: int, question: str, answer: str) -> tuple[Conversation, Append]:
    """The state after one more turn, and what was committed."""
    turn = begun(state, number, text=question)
    append = on_result(state, turn, answered(turn, specialty="billing", text=answer), environment())
    assert isinstance(append, Append)
    return committed(state, append, inbox_seq=number, sequence=number), append


def test_ten_thousand_turns_are_no_heavier_than_a_hundred() -> None:
    """Transcript, summary and snapshot are bounded: a turn costs the same at the end as at the beginning."""
    state, bytes_at = fresh(), {}
    for number in range(1, 10_001):
        state, _ = after_turn(state, number, f"Question {number} about my refund", f"Answer {number}, as it stands.")
        if number in {100, 10_000}:
            bytes_at[number] = len(codec.encode(to_snapshot(state)))
    assert (state.turns, len(state.transcript)) == (10_000, RECENT_UTTERANCES)
    assert len(state.summary) <= LONGEST_SUMMARY
    assert state.summary.startswith("customer: Question 1 about"), "what it began with stays"
    assert bytes_at[10_000] < 1.1 * bytes_at[100]


def test_very_long_message_is_carried_along_in_part_and_kept_whole_in_the_log() -> None:
    """Else every later turn would carry it to the agent and to the model."""
    state, append = after_turn(fresh(), 1, "q" * 65_536, "a" * 65_536)
    said = append.events[-1]
    assert isinstance(said, TurnAnswered)
    assert (len(said.customer_text), len(said.text)) == (65_536, 65_536)
    assert [len(utterance.text) for utterance in state.transcript] == [LONGEST_UTTERANCE] * 2
    for number in range(2, 6):
        state, _ = after_turn(state, number, "q" * 65_536, "a" * 65_536)
        assert sum(len(utterance.text) for utterance in state.transcript) <= RECENT_CHARACTERS


async def test_conversation_that_is_evicted_between_its_turns_gets_its_snapshots() -> None:
    """Else its rehydration would read the whole log, longer and longer."""
    scene = Scene()
    for number in range(1, 8):
        scene.actor = scene.new_actor()
        scene.deliver(number)
        await scene.actor.run()
    assert [snapshot.sequence for snapshot in scene.log.snapshots] == [2, 4, 6]


class House:
    """ConversationRegistry in one process, each on a scene of its own; `made` are those that had to be loaded."""

    def __init__(self, budget_bytes: int) -> None:
        self.scenes: dict[ConversationId, Scene] = {}
        self.made: list[ConversationId] = []
        self.conversations = ConversationRegistry(
            self._make,
            finished_elsewhere=lambda _: False,
            on_let_go=lambda: None,
            budget_bytes=budget_bytes,
            latency=RecentLatency(),
        )

    def _make(self, conversation: ConversationId) -> ConversationActor:
        self.made.append(conversation)
        scene = self.scenes.setdefault(conversation, Scene())
        scene.actor = scene.new_actor(conversation)
        return scene.actor

    async def say(self, conversation: ConversationId, number: int) -> None:
        """Deliver the n-th message and wait until it is answered."""
        answered = asyncio.Event()

        async def done() -> None:
            answered.set()

        async def dead_letter(reason: str) -> None:
            raise AssertionError(reason)

        item = InboxItem(number, received(number, previous=number - 1))
        self.conversations.offer(conversation, Envelope(number, item, done=done, dead_letter=dead_letter))
        async with asyncio.timeout(10):
            await answered.wait()
            while self.conversations.is_active(conversation):
                await asyncio.sleep(0)


async def test_least_recently_used_goes_and_comes_back_with_all_it_knew() -> None:
    """The log is the page file; who is used stays."""
    house = House(budget_bytes=2 * 8_000)
    first, second, third = (ConversationId(f"c{number}") for number in (1, 2, 3))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(house.conversations.run())
        await asyncio.sleep(0)
        for conversation in (first, second, third):
            await house.say(conversation, 1)
        assert house.made == [first, second, third]
        await house.say(third, 2)
        await house.say(second, 2)
        assert house.made == [first, second, third], "the latest two are still there"
        await house.say(first, 2)
        assert house.made == [first, second, third, first], "the first had to go, and is loaded again"
        running.cancel()
    context = house.scenes[first].outside.orders[-1].context
    assert [said.text for said in context.transcript] == ["Where is my refund?", "Soon."]

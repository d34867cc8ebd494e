"""Memory of conversations: bounded for any length, and evicted when the budget is exceeded."""

from __future__ import annotations

import asyncio

from trunkline_chassis.latency import RecentLatency
from trunkline_conversation.application.actor import ConversationActor, Envelope
from trunkline_conversation.application.registry import ConversationRegistry
from trunkline_conversation.core.decisions import on_result
from trunkline_conversation.core.state import (
    MAX_TRANSCRIPT_CHARACTERS,
    MAX_TRANSCRIPT_UTTERANCES,
    MAX_UTTERANCE_CHARACTERS,
    Conversation,
    to_snapshot,
)
from trunkline_conversation.core.steps import Append
from trunkline_conversation.core.summary import MAX_SUMMARY_CHARACTERS
from trunkline_conversation.ports import InboxItem
from trunkline_protocols import codec
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import TurnAnswered

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import answered, begun, committed, environment, fresh, received


def after_turn(state: Conversation, number: int, question: str, answer: str) -> tuple[Conversation, Append]:
    """Return the state after one more turn, and the commit."""
    turn = begun(state, number, text=question)
    append = on_result(state, turn, answered(turn, specialty="billing", text=answer), environment())
    assert isinstance(append, Append)
    return committed(state, append, inbox_seq=number, sequence=number), append


def test_snapshot_of_ten_thousand_turns_is_as_small_as_of_a_hundred() -> None:
    """Transcript, summary and snapshot are bounded, so that the cost of a turn does not grow."""
    state, bytes_at = fresh(), {}
    for number in range(1, 10_001):
        state, _ = after_turn(state, number, f"Question {number} about my refund", f"Answer {number}, as it stands.")
        if number in {100, 10_000}:
            bytes_at[number] = len(codec.encode(to_snapshot(state)))
    assert (state.turns, len(state.transcript)) == (10_000, MAX_TRANSCRIPT_UTTERANCES)
    assert len(state.summary) <= MAX_SUMMARY_CHARACTERS
    assert state.summary.startswith("customer: Question 1 about"), "the first line of the summary is kept"
    assert bytes_at[10_000] < 1.1 * bytes_at[100]


def test_very_long_message_is_truncated_in_the_transcript_and_whole_in_the_log() -> None:
    """Otherwise every later turn would send it to the agent and to the model."""
    state, append = after_turn(fresh(), 1, "q" * 65_536, "a" * 65_536)
    event = append.events[-1]
    assert isinstance(event, TurnAnswered)
    assert (len(event.text), len(event.answer)) == (65_536, 65_536)
    assert [len(utterance.text) for utterance in state.transcript] == [MAX_UTTERANCE_CHARACTERS] * 2
    for number in range(2, 6):
        state, _ = after_turn(state, number, "q" * 65_536, "a" * 65_536)
        assert sum(len(utterance.text) for utterance in state.transcript) <= MAX_TRANSCRIPT_CHARACTERS


async def test_conversation_that_is_evicted_after_every_turn_gets_snapshots() -> None:
    """Otherwise each load would read the whole log."""
    harness = ActorHarness()
    for number in range(1, 8):
        harness.actor = harness.new_actor()
        harness.deliver(number)
        await harness.actor.run()
    assert [snapshot.sequence for snapshot in harness.log.snapshots] == [2, 4, 6]


class RegistryHarness:
    """A registry whose conversations each have a harness of their own; `loaded` lists the created actors."""

    def __init__(self, budget_bytes: int) -> None:
        self.harnesses: dict[ConversationId, ActorHarness] = {}
        self.loaded: list[ConversationId] = []
        self.conversations = ConversationRegistry(
            self._create,
            is_finishing_elsewhere=lambda _: False,
            on_finishing_changed=lambda: None,
            budget_bytes=budget_bytes,
            latency=RecentLatency(),
        )

    def _create(self, conversation: ConversationId) -> ConversationActor:
        self.loaded.append(conversation)
        harness = self.harnesses.setdefault(conversation, ActorHarness())
        harness.actor = harness.new_actor(conversation)
        return harness.actor

    async def deliver(self, conversation: ConversationId, number: int) -> None:
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


async def test_least_recently_used_conversation_is_evicted_and_loaded_again() -> None:
    """Recently used conversations stay in memory; an evicted one loses nothing."""
    registry = RegistryHarness(budget_bytes=2 * 8_000)
    first, second, third = (ConversationId(f"c{number}") for number in (1, 2, 3))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(registry.conversations.run())
        await asyncio.sleep(0)
        for conversation in (first, second, third):
            await registry.deliver(conversation, 1)
        assert registry.loaded == [first, second, third]
        await registry.deliver(third, 2)
        await registry.deliver(second, 2)
        assert registry.loaded == [first, second, third], "the latest two are still in memory"
        await registry.deliver(first, 2)
        assert registry.loaded == [first, second, third, first], "the first was evicted and is loaded again"
        running.cancel()
    context = registry.harnesses[first].work_queue.requests[-1].context
    assert [utterance.text for utterance in context.transcript] == ["Where is my refund?", "Soon."]

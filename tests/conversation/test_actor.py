"""One conversation at work, on fakes: order, redelivery, silence, conflicts."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from prometheus_client import REGISTRY
from trunkline_conversation.ports import InboxItem
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit, CommitStored, TurnAnswered
from trunkline_protocols.turn import AnswerTurn, HandOff, TaskClaimed

from tests.conversation.actor_harness import PATIENCE, Scene
from tests.conversation.builders import CONVERSATION, received


@pytest.fixture
def scene() -> Scene:
    """A fresh scene."""
    return Scene()


async def test_messages_are_answered_in_order_with_one_commit_each(scene: Scene) -> None:
    """The turn's second append is the only one that the conversation makes."""
    for number in (1, 2, 3):
        scene.deliver(number)
    await scene.actor.run()
    assert scene.log.answers() == ["m1", "m2", "m3"]
    assert len(scene.log.stored) == 3
    assert scene.done == [1, 2, 3]
    assert [order.specialty for order in scene.outside.orders] == ["triage", "billing", "billing", "billing"]


async def test_redelivered_message_is_answered_once(scene: Scene) -> None:
    """Also by a process that has to read the log first; the ingress is told again."""
    scene.deliver(1)
    await scene.actor.run()
    scene.actor = scene.new_actor()
    scene.deliver(1)
    await scene.actor.run()
    assert scene.log.answers() == ["m1"]
    assert scene.done == [1, 1]
    assert [stored.sequence for stored in scene.outside.told] == [1, 1]


async def test_lost_acknowledgement_of_a_commit_is_no_second_answer(scene: Scene) -> None:
    """The log is read, found to hold the answer, and shown."""
    scene.log.lose_next_acknowledgement = True
    scene.deliver(1)
    await scene.actor.run()
    assert scene.log.answers() == ["m1"]
    assert [stored.sequence for stored in scene.outside.told] == [1]
    assert scene.done == [1]


async def test_answer_of_another_process_is_shown_and_not_ones_own(scene: Scene) -> None:
    """Two owners for a moment, one history."""
    other = Scene()
    other.log = scene.log
    other.actor = other.new_actor()

    def overtake(order: AnswerTurn) -> None:
        foreign = Commit(
            conversation=CONVERSATION,
            region="local",
            tenant="default",
            customer="ada",
            kind="turn",
            turn=order.ref.turn,
            epoch=0,
            owner="technical",
            agent="wifi",
            inbox_seq=1,
            previous=0,
            frames_before=0,
            at=1.0,
            events=[
                TurnAnswered(
                    message_id="m1",
                    accepted_seq=2,
                    customer_text="?",
                    received_at=1.0,
                    text="From the other one.",
                    specialty="technical",
                    agent="wifi",
                )
            ],
        )
        if not scene.log.stored:
            scene.log.stored.append(CommitStored(sequence=1, commit=foreign))
        scene.answer(order)

    scene.outside.react = overtake
    scene.deliver(1)
    await scene.actor.run()
    assert len(scene.log.stored) == 1
    shown = scene.outside.told[-1].commit.events[0]
    assert isinstance(shown, TurnAnswered)
    assert shown.text == "From the other one."


async def test_silent_agent_is_given_up_and_the_next_attempt_answers(scene: Scene) -> None:
    """The late result of the first attempt changes nothing."""

    def fall_silent(order: AnswerTurn) -> None:
        if order.ref.attempt == 1:
            claim = TaskClaimed(
                ref=order.ref,
                instance=Instance("agents-billing-1"),
            )
            now = asyncio.get_running_loop().time()
            scene.actor.claimed(claim, now)
            scene.actor.watch(now + 0.5)
            scene.actor.watch(now + 1.0)
        else:
            scene.answer(order)

    scene.outside.react = fall_silent
    scene.deliver(1)
    await scene.actor.run()
    assert scene.log.answers() == ["m1"]
    assert [order.ref.attempt for order in scene.outside.orders] == [1, 2, 1, 2]


async def test_late_result_of_the_owner_before_is_dropped_and_counted(scene: Scene) -> None:
    """It comes after the handoff that it asked for itself; the customer reads the new owner only."""

    def hand_off_and_answer_too(order: AnswerTurn) -> None:
        if order.specialty == "billing":
            scene.actor.result(
                HandOff(
                    ref=order.ref,
                    specialty=Specialty("billing"),
                    to=Specialty("technical"),
                    agent="wifi",
                    reason="r",
                    summary="s",
                )
            )
        elif order.specialty == "technical":
            late = msgspec.structs.replace(
                order,
                specialty=Specialty("billing"),
                ref=msgspec.structs.replace(order.ref, epoch=0, hop=order.ref.hop - 1),
            )
            scene.answer(late)
            scene.answer(order)
        else:
            scene.answer(order)

    def dropped() -> float:
        return REGISTRY.get_sample_value("trunkline_turns_total", {"outcome": "late_result"}) or 0.0

    before = dropped()
    scene.outside.react = hand_off_and_answer_too
    scene.deliver(1)
    await scene.actor.run()
    (answer,) = [
        event for stored in scene.log.stored for event in stored.commit.events if isinstance(event, TurnAnswered)
    ]
    assert answer.specialty == "technical"
    assert dropped() - before == 1


async def test_unclaimed_work_is_published_again_as_the_same_order(scene: Scene) -> None:
    """What it needs more than that is up to the queue."""

    def lose_the_first(order: AnswerTurn) -> None:
        if len(scene.outside.orders) == 1:
            scene.actor.watch(asyncio.get_running_loop().time() + PATIENCE.unclaimed_s + 0.1)
        else:
            scene.answer(order)

    scene.outside.react = lose_the_first
    scene.deliver(1)
    await scene.actor.run()
    assert scene.outside.orders[0] == scene.outside.orders[1]
    assert scene.log.answers() == ["m1"]


async def test_message_lost_on_its_way_is_answered_before_the_next(scene: Scene) -> None:
    """The next message tells its predecessor: the gap is read from the inbox, order holds."""
    scene.deliver(1)
    await scene.actor.run()
    scene.log.said.append(InboxItem(2, received(2, previous=1)))
    scene.deliver(3)
    await scene.actor.run()
    assert scene.log.answers() == ["m1", "m2", "m3"]
    scene.deliver(2)
    await scene.actor.run()
    assert scene.log.answers() == ["m1", "m2", "m3"]
    assert scene.done == [1, 3, 2]


async def test_crash_after_a_handoff_goes_on_with_the_new_owner(scene: Scene) -> None:
    """The handoff is in the log; the turn is answered by who owns it now, once."""
    scene.deliver(1)
    await scene.actor.run()

    class Killed(BaseException):
        pass

    def hand_off_and_die(order: AnswerTurn) -> None:
        if order.specialty == "billing":
            scene.actor.result(
                HandOff(
                    ref=order.ref,
                    specialty=Specialty("billing"),
                    to=Specialty("technical"),
                    agent="wifi",
                    reason="r",
                    summary="s",
                )
            )
        else:
            raise Killed

    scene.outside.react = hand_off_and_die
    scene.deliver(2)
    with pytest.raises(Killed):
        await scene.actor.run()
    assert scene.done == [1]
    scene.actor = scene.new_actor()
    scene.outside.react = scene.answer
    scene.deliver(2)
    await scene.actor.run()
    assert [stored.commit.kind for stored in scene.log.stored] == ["turn", "handoff", "turn"]
    assert scene.log.stored[-1].commit.owner == "technical"
    assert scene.log.answers() == ["m1", "m2"]


async def test_message_that_cannot_be_handled_is_buried_and_apologised_for(scene: Scene) -> None:
    """It blocks nobody, and an accepted message is answered."""

    def break_on_the_first(order: AnswerTurn) -> None:
        if order.text == "poison":
            raise ZeroDivisionError
        scene.answer(order)

    scene.outside.react = break_on_the_first
    poison: TurnReceived = received(1, text="poison")
    scene.deliver(1, poison)
    scene.deliver(2)
    await scene.actor.run()
    assert len(scene.buried) == 1
    assert scene.log.answers() == ["m1", "m2"]


async def test_snapshot_and_later_commits_are_the_whole_log(scene: Scene) -> None:
    """Rehydration from a snapshot and from the log alone end in the same state."""
    for number in (1, 2, 3):
        scene.deliver(number)
    await scene.actor.run()
    assert scene.log.snapshots
    scene.actor = scene.new_actor()
    scene.deliver(4)
    await scene.actor.run()
    with_snapshot = scene.outside.orders[-1].context
    scene.log.snapshots.clear()
    scene.log.stored.pop()
    scene.actor = scene.new_actor()
    scene.deliver(4)
    await scene.actor.run()
    assert scene.outside.orders[-1].context == with_snapshot

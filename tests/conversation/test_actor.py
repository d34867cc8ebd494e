"""One conversation at work, on fakes: order, redelivery, silence, conflicts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from builders import CONVERSATION, around, received
from trunkline_chassis.errors import BusUnavailableError, FenceError
from trunkline_conversation.actor import ConversationActor, Envelope
from trunkline_conversation.asking import Patience
from trunkline_conversation.core.steps import Surroundings
from trunkline_conversation.ports import InboxItem
from trunkline_protocols.desk import DeskOutcome, SlotMessage
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, Instance, Specialty
from trunkline_protocols.log import Commit, CommitStored, TurnAnswered
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.turn import Answered, AnswerTurn, HandOff, Routed, TaskClaimed, TurnReceived

PATIENCE = Patience(agent_silence_s=0.8, unclaimed_s=3.0, turn_timeout_s=90.0)


@dataclass
class FakeLog:
    """A log in memory, with the fence; can lose acknowledgements."""

    stored: list[CommitStored] = field(default_factory=list)
    said: list[InboxItem] = field(default_factory=list)
    ordered: list[InboxItem] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    lose_next_acknowledgement: bool = False

    async def append(self, commit: Commit, *, message_id: str) -> int:
        last = self.stored[-1].sequence if self.stored else 0
        if commit.previous != last:
            raise FenceError(message_id)
        self.stored.append(CommitStored(sequence=last + 1, commit=commit))
        if self.lose_next_acknowledgement:
            self.lose_next_acknowledgement = False
            raise BusUnavailableError("no acknowledgement")
        return last + 1

    async def commits(self, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        return [stored for stored in self.stored if stored.sequence > after]

    async def inbox(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        return [item for item in self.said if after < item.sequence < before]

    async def desk(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        return [item for item in self.ordered if after < item.sequence < before]

    async def snapshot(self, conversation: ConversationId) -> Snapshot | None:
        return self.snapshots[-1] if self.snapshots else None

    async def store_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def answers(self) -> list[str]:
        """Client ids in the order in which they were answered."""
        events = [event for stored in self.stored for event in stored.commit.events]
        return [event.message_id for event in events if isinstance(event, TurnAnswered)]


@dataclass
class FakeOutside:
    """Agents that react as the test says, at once."""

    react: Callable[[AnswerTurn], None] = lambda _: None
    orders: list[AnswerTurn] = field(default_factory=list)
    told: list[CommitStored] = field(default_factory=list)
    waiting: dict[str, EscalationWaiting] = field(default_factory=dict)
    outcomes: list[DeskOutcome] = field(default_factory=list)

    async def ask(self, order: AnswerTurn) -> None:
        self.orders.append(order)
        self.react(order)

    async def tell(self, ingress: Instance, stored: CommitStored) -> None:
        self.told.append(stored)

    async def show_waiting(self, entry: EscalationWaiting) -> None:
        self.waiting[entry.conversation] = entry

    async def hide_waiting(self, conversation: ConversationId) -> None:
        self.waiting.pop(conversation, None)

    async def answer_desk(self, reply_to: str, outcome: DeskOutcome) -> None:
        self.outcomes.append(outcome)

    def now(self) -> float:
        return 100.0


class Scene:
    """An actor with its fakes, and the messages that were settled."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.outside = FakeOutside()
        self.done: list[int] = []
        self.buried: list[str] = []
        self.around: Surroundings = around()
        self.actor = self.new_actor()
        self.outside.react = self.answer

    def new_actor(self) -> ConversationActor:
        """The actor of another process, which knows nothing."""
        return ConversationActor(
            CONVERSATION,
            region="local",
            instance=Instance("conversation-1"),
            log=self.log,
            outside=self.outside,
            around=lambda: self.around,
            patience=PATIENCE,
            snapshot_every=2,
        )

    def answer(self, order: AnswerTurn) -> None:
        """Triage routes to billing, everybody else answers."""
        place = {
            "conversation": order.conversation,
            "turn": order.turn,
            "attempt": order.attempt,
            "hop": order.hop,
            "epoch": order.epoch,
        }
        if order.specialty == "triage":
            self.actor.result(Routed(**place, to=Specialty("billing"), agent="billing-one", confidence=1.0))
        else:
            self.actor.result(
                Answered(**place, specialty=order.specialty, agent=f"{order.specialty}-one", text="Soon.")
            )

    def deliver(self, number: int, message: SlotMessage | None = None, *, previous: int | None = None) -> None:
        """Deliver the n-th message at inbox sequence n."""
        item = message or received(number, previous=number - 1 if previous is None else previous)
        if all(known.sequence != number for known in self.log.said):
            self.log.said.append(InboxItem(number, item))

        async def done() -> None:
            self.done.append(number)

        async def bury(reason: str) -> None:
            self.buried.append(reason)

        self.actor.offer(Envelope(sequence=number, message=InboxItem(number, item), done=done, bury=bury))


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
            turn=order.turn,
            epoch=0,
            owner="technical",
            agent="wifi",
            inbox_seq=1,
            previous=0,
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
        if order.attempt == 1:
            claim = TaskClaimed(
                conversation=order.conversation,
                turn=order.turn,
                attempt=order.attempt,
                hop=order.hop,
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
    assert [order.attempt for order in scene.outside.orders] == [1, 2, 1, 2]


async def test_unclaimed_work_is_published_again_as_the_same_order(scene: Scene) -> None:
    """A no-op, unless the queue was lost."""

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
                    conversation=order.conversation,
                    turn=order.turn,
                    attempt=order.attempt,
                    hop=order.hop,
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

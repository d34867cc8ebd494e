"""One conversation on fakes: a log in memory, agents that react as the test says, a desk that is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trunkline_chassis.errors import BusUnavailableError, FenceError
from trunkline_conversation.application.actor import ConversationActor, Envelope
from trunkline_conversation.application.dispatch import TurnTimeouts
from trunkline_conversation.core.steps import Environment
from trunkline_conversation.ports import InboxItem
from trunkline_protocols.desk import DeskOutcome, SlotMessage
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, Instance, Specialty
from trunkline_protocols.log import Commit, CommitStored, CustomerMessageEvent, Event, TurnAnswered
from trunkline_protocols.rules.frames import frames_in
from trunkline_protocols.rules.message_id_filter import may_hold
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.turn import Answered, AnswerTurn, Routed

from tests.conversation.builders import CONVERSATION, environment, received

PATIENCE = TurnTimeouts(agent_silence_s=0.8, unclaimed_s=3.0, turn_timeout_s=90.0)


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
        assert commit.frames_before == frames_in(self.events())
        assert all(may_hold(commit.ids_before, id_) for id_ in self.answers())
        assert bool(commit.ids_before) is any(isinstance(event, CustomerMessageEvent) for event in self.events())
        assert commit.ended_before is any(stored.commit.kind == "closed" for stored in self.stored)
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

    def events(self) -> list[Event]:
        """What was committed."""
        return [event for stored in self.stored for event in stored.commit.events]

    def answers(self) -> list[str]:
        """Client ids in the order in which they were answered."""
        return [event.message_id for event in self.events() if isinstance(event, TurnAnswered)]


@dataclass
class FakeOutside:
    """Agents that react as the test says, at once."""

    react: Callable[[AnswerTurn], None] = lambda _: None
    orders: list[AnswerTurn] = field(default_factory=list)
    told: list[CommitStored] = field(default_factory=list)
    waiting: dict[str, EscalationWaiting] = field(default_factory=dict)
    outcomes: list[DeskOutcome] = field(default_factory=list)

    async def ask(self, order: AnswerTurn) -> int:
        self.orders.append(order)
        self.react(order)
        return len(self.orders)

    async def requeue(self, order: AnswerTurn, position: int) -> int:
        assert position == len(self.orders)
        return await self.ask(order)

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
        self.environment: Environment = environment()
        self.actor = self.new_actor()
        self.outside.react = self.answer

    def new_actor(self, conversation: ConversationId = CONVERSATION) -> ConversationActor:
        """The actor of another process, which knows nothing."""
        return ConversationActor(
            conversation,
            region="local",
            instance=Instance("conversation-1"),
            log=self.log,
            outside=self.outside,
            environment=lambda: self.environment,
            patience=PATIENCE,
            snapshot_every=2,
        )

    def answer(self, order: AnswerTurn) -> None:
        """Triage routes to billing, everybody else answers."""
        if order.specialty == "triage":
            self.actor.result(Routed(ref=order.ref, to=Specialty("billing"), agent="billing-one", confidence=1.0))
        else:
            self.actor.result(
                Answered(ref=order.ref, specialty=order.specialty, agent=f"{order.specialty}-one", text="Soon.")
            )

    def deliver(self, number: int, message: SlotMessage | None = None, *, previous: int | None = None) -> None:
        """Deliver the n-th message at inbox sequence n."""
        item = message or received(number, previous=number - 1 if previous is None else previous)
        if all(known.sequence != number for known in self.log.said):
            self.log.said.append(InboxItem(number, item))

        async def done() -> None:
            self.done.append(number)

        async def dead_letter(reason: str) -> None:
            self.buried.append(reason)

        self.actor.offer(Envelope(sequence=number, message=InboxItem(number, item), done=done, dead_letter=dead_letter))

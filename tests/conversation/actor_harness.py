"""Harness for one conversation actor on fakes: a log in memory, scripted agents, a recorded desk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace
from trunkline_chassis.errors import BusUnavailableError, FenceError, TextsErasedError
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_conversation.application.actor import ActorConfig, ConversationActor, Envelope
from trunkline_conversation.application.dispatch import TurnTimeouts
from trunkline_conversation.application.environment import with_colour, with_fleet_version
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Environment
from trunkline_conversation.ports import ConversationPorts, InboxItem
from trunkline_protocols.context import Utterance
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.desk import DeskOutcome, SlotMessage
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, Instance, Specialty
from trunkline_protocols.inbox import EndRequested, TurnReceived
from trunkline_protocols.log import Commit, CommitStored, CustomerMessageEvent, Event, TurnAnswered
from trunkline_protocols.rollout import ReleaseRollout
from trunkline_protocols.rules.colours import queue_of
from trunkline_protocols.rules.frames import frames_in
from trunkline_protocols.rules.message_id_filter import may_contain
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.subjects import QueueColour
from trunkline_protocols.texts import StoredTexts, erase_texts
from trunkline_protocols.turn import Answered, AnswerTurn, Routed

from tests.conversation.builders import CONVERSATION, environment, fleet_version, received
from tests.support.borders import ListedBorders

TIMEOUTS = TurnTimeouts(agent_silence_s=0.8, unclaimed_s=3.0, turn_timeout_s=90.0)
CONFIG = ActorConfig(region="local", instance=Instance("conversation-1"), timeouts=TIMEOUTS, snapshot_every=2)


@dataclass
class FakeLog:
    """A log in memory, with the fence; can lose acknowledgements."""

    stored: list[CommitStored] = field(default_factory=list)
    messages: list[InboxItem] = field(default_factory=list)
    commands: list[InboxItem] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    snapshot_reads: int = 0
    lose_next_acknowledgement: bool = False
    erased: set[str] = field(default_factory=set)
    """Destroyed keys."""

    async def readable(self, item: InboxItem) -> InboxItem:
        if isinstance(item.message, StoredTexts) and item.message.key in self.erased:
            return InboxItem(item.sequence, erase_texts(item.message))
        return item

    async def is_erased(self, key: str) -> bool:
        return key in self.erased

    async def append(self, commit: Commit, *, message_id: str) -> int:
        if commit.key in self.erased:
            raise TextsErasedError(commit.key)
        last = self.stored[-1].sequence if self.stored else 0
        if commit.previous != last:
            raise FenceError(message_id)
        assert commit.frames_before == frames_in(self.events())
        assert all(may_contain(commit.ids_before, id_) for id_ in self.answers())
        assert bool(commit.ids_before) is any(isinstance(event, CustomerMessageEvent) for event in self.events())
        assert commit.ended_before is any(stored.commit.kind == "closed" for stored in self.stored)
        self.stored.append(CommitStored(sequence=last + 1, commit=commit))
        if self.lose_next_acknowledgement:
            self.lose_next_acknowledgement = False
            raise BusUnavailableError("no acknowledgement")
        return last + 1

    async def commits(self, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        return [self._readable(stored) for stored in self.stored if stored.sequence > after]

    def _readable(self, stored: CommitStored) -> CommitStored:
        is_erased = stored.commit.key in self.erased
        return replace(stored, commit=erase_texts(stored.commit)) if is_erased else stored

    async def customer_messages(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        return [item for item in self.messages if after < item.sequence < before]

    async def last_customer_message(self, conversation: ConversationId) -> InboxItem | None:
        return self.messages[-1] if self.messages else None

    async def desk_commands(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        return [item for item in self.commands if after < item.sequence < before]

    async def snapshot(self, conversation: ConversationId) -> Snapshot | None:
        self.snapshot_reads += 1
        return self.snapshots[-1] if self.snapshots else None

    async def store_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def events(self) -> list[Event]:
        """Return the committed events."""
        return [event for stored in self.stored for event in stored.commit.events]

    def answers(self) -> list[str]:
        """Return the client ids of the answered messages, in order of their answers."""
        return [event.message_id for event in self.events() if isinstance(event, TurnAnswered)]


@dataclass
class FakeWorkQueue:
    """A work queue whose agents react synchronously, as scripted by `react`."""

    react: Callable[[AnswerTurn], None] = lambda _: None
    requests: list[AnswerTurn] = field(default_factory=list)
    has_work: bool | None = False
    """Whether no agents process has taken the last request; None: the queue does not answer."""

    colours: list[str] = field(default_factory=list)
    """Colour of the queue of each request."""

    async def enqueue(self, request: AnswerTurn, colour: QueueColour) -> int:
        self.requests.append(request)
        self.colours.append(colour)
        self.react(request)
        return len(self.requests)

    async def holds(self, request: AnswerTurn, position: int) -> bool | None:
        return self.has_work

    async def requeue(self, request: AnswerTurn, position: int, colour: QueueColour) -> int:
        assert position == len(self.requests)
        return await self.enqueue(request, colour)


@dataclass
class FakeNotifier:
    """Records notifications."""

    published: list[CommitStored] = field(default_factory=list)
    ingresses: list[Instance] = field(default_factory=list)
    """The ingress of each published commit."""
    outcomes: list[DeskOutcome] = field(default_factory=list)

    async def notify_ingress(self, ingress: Instance, stored: CommitStored) -> None:
        self.published.append(stored)
        self.ingresses.append(ingress)

    async def reply_to_desk(self, reply_to: str, outcome: DeskOutcome) -> None:
        self.outcomes.append(outcome)


@dataclass
class FakeEscalationQueue:
    """An escalation queue in memory."""

    waiting: dict[str, EscalationWaiting] = field(default_factory=dict)

    def entries(self) -> list[EscalationWaiting]:
        return list(self.waiting.values())

    def entry(self, conversation: ConversationId) -> EscalationWaiting | None:
        return self.waiting.get(conversation)

    async def put(self, entry: EscalationWaiting) -> None:
        self.waiting[entry.conversation] = entry

    async def remove(self, conversation: ConversationId) -> None:
        self.waiting.pop(conversation, None)


@dataclass
class FakeCustomers:
    """Customers of whom everything is known at once."""

    customer: CustomerKnown = field(default_factory=CustomerKnown)
    waited: list[bool] = field(default_factory=list)
    """For every turn, whether it was the first of its conversation."""
    ended: list[ConversationId] = field(default_factory=list)
    complete: bool = True
    """Whether nothing is being read."""

    def prepare(self, message: TurnReceived, fleet_version: int = 0) -> None:
        pass

    def known(self, message: TurnReceived) -> CustomerKnown:
        return CustomerKnown()

    def is_complete(self, message: TurnReceived) -> bool:
        return self.complete

    async def current(self, message: TurnReceived, *, is_first: bool) -> CustomerKnown:
        self.waited.append(is_first)
        return self.customer

    def keep_earlier(
        self, message: EndRequested, transcript: Sequence[Utterance], *, text_key: str, fleet_version: int = 0
    ) -> None:
        self.ended.append(message.conversation)


class ActorHarness:
    """An actor with its fakes, and the settled messages."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.work_queue = FakeWorkQueue(react=self.answer)
        self.notifier = FakeNotifier()
        self.escalation_queue = FakeEscalationQueue()
        self.customers = FakeCustomers()
        self.borders = ListedBorders(CONFIG.region)
        self.done: list[int] = []
        self.dead_letters: list[str] = []
        self.environment: Environment = environment()
        self.fleets = ServedFleets(fleet_version(1))
        self.release: ReleaseRollout | None = None
        self.ready: set[str] = {""}
        """Colours with a ready agents process."""
        self.actor = self.new_actor()

    def new_actor(self, conversation: ConversationId = CONVERSATION) -> ConversationActor:
        """Create the actor of another process, with no state in memory."""
        ports = ConversationPorts(
            log=self.log,
            work_queue=self.work_queue,
            notifier=self.notifier,
            escalation_queue=self.escalation_queue,
            customers=self.customers,
            borders=self.borders,
            now=lambda: 100.0,
        )
        return ConversationActor(conversation, CONFIG, ports, self)

    def with_version(self, state: Conversation) -> Conversation:
        """Draw and keep versions and colours as a process with `fleets` and `release`."""
        return with_colour(with_fleet_version(state, self.fleets), self.release)

    def queue_of(self, colour: str, specialty: str) -> QueueColour:
        """Return the queue of a colour, with the agents processes that the test has started."""
        del specialty
        return queue_of(colour, self.ready)

    def read(self, fleet_version: int) -> Environment:
        """Return the environment that the test has set, for every version."""
        del fleet_version
        return self.environment

    def answer(self, request: AnswerTurn) -> None:
        """Let triage route to billing, and every other agent answer."""
        if request.specialty == "triage":
            self.actor.on_result(Routed(ref=request.ref, to=Specialty("billing"), agent="billing-one", confidence=1.0))
        else:
            agent = f"{request.specialty}-one"
            self.actor.on_result(Answered(ref=request.ref, specialty=request.specialty, agent=agent, text="Soon."))

    def deliver(self, number: int, message: SlotMessage | None = None, *, previous: int | None = None) -> None:
        """Deliver the n-th message at inbox sequence n."""
        item = message or received(number, previous=number - 1 if previous is None else previous)
        if all(known.sequence != number for known in self.log.messages):
            self.log.messages.append(InboxItem(number, item))

        async def done() -> None:
            self.done.append(number)

        async def dead_letter(reason: str) -> None:
            self.dead_letters.append(reason)

        self.actor.offer(Envelope(sequence=number, message=InboxItem(number, item), done=done, dead_letter=dead_letter))

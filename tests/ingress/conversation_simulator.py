"""A conversation that runs: the ledger of the ingress, the two streams, the frames that were sent."""

from __future__ import annotations

from collections import deque
from functools import reduce

from hypothesis import strategies as st
from trunkline_chassis.bus import AppendResult
from trunkline_chassis.errors import FenceError
from trunkline_ingress.core.ledger import Ledger
from trunkline_ingress.ports import Unsettled
from trunkline_protocols.frames import DurableFrame
from trunkline_protocols.ids import ConversationId, Instance, TurnId, turn_id
from trunkline_protocols.inbox import FeedbackGiven, InboxMessage, TurnReceived
from trunkline_protocols.log import (
    Closed,
    Commit,
    CommitStored,
    CustomerMessageEvent,
    CustomerSaid,
    Event,
    HandedOff,
    PersonReplied,
    TurnAnswered,
)
from trunkline_protocols.rules.frames import frames_in
from trunkline_protocols.rules.message_id_filter import with_id
from trunkline_protocols.subjects import CommitKind
from trunkline_protocols.turn import SocketAttached

C = ConversationId("cabc")


class World:
    """What the customer, the fleet and people do; every commit is told to the ingress, at once or when it `hears`."""

    def __init__(self, *, slow: bool = False) -> None:
        """`slow`: commits wait until the ingress hears them."""
        self.ledger = Ledger()
        self.sent: list[DurableFrame] = []
        self.inbox: list[tuple[int, InboxMessage]] = []
        self.commits: list[CommitStored] = []
        self.settled = 0
        self._slow = slow
        self._told: deque[CommitStored] = deque()

    # -- the customer ---

    def say(self) -> None:
        """The customer says something."""
        number = len(self.inbox) + 1
        self.sent.append(self.ledger.accept(f"m{number}", self._put(said(f"m{number}", self.ledger))))

    def rate(self) -> None:
        """The customer rates the conversation: a message that no commit answers."""
        previous = self.ledger.last_inbox
        feedback = FeedbackGiven(conversation=C, previous=previous, rating=5, text="", received_at=1.0)
        self.ledger.last_inbox = self._put(feedback)

    def _put(self, message: InboxMessage) -> int:
        self.inbox.append((len(self.inbox) + 1, message))
        return len(self.inbox)

    # -- those who answer ---

    @property
    def waiting(self) -> list[tuple[int, TurnReceived]]:
        """Messages without an answer, with their sequences."""
        later = self.inbox[self.settled :]
        return [(inbox_seq, message) for inbox_seq, message in later if isinstance(message, TurnReceived)]

    def answer(self) -> None:
        """The oldest unanswered message is answered."""
        if self.waiting:
            inbox_seq, message = self.waiting[0]
            event = TurnAnswered(
                message_id=message.message_id,
                accepted_seq=message.seq,
                customer_text=message.text,
                received_at=1.0,
                text="Soon.",
                specialty="billing",
                agent="one",
            )
            self._settle(inbox_seq, event)

    def to_person(self) -> None:
        """The oldest unanswered message is shown to a person: nothing for the customer to see."""
        if self.waiting:
            inbox_seq, message = self.waiting[0]
            event = CustomerSaid(
                message_id=message.message_id, accepted_seq=message.seq, text=message.text, received_at=1.0
            )
            self._settle(inbox_seq, event)

    def _settle(self, inbox_seq: int, event: Event) -> None:
        self.settled = inbox_seq
        self._commit("turn", event, inbox_seq)

    def hand_off(self) -> None:
        """The turn under way changes hands."""
        if self.waiting:
            event = HandedOff(from_="billing", to="technical", agent="wifi", reason="r", summary="s")
            self._commit("handoff", event, self.waiting[0][0])

    def reply(self) -> None:
        """A person writes, whatever was said."""
        event = PersonReplied(reply_id="r", person="grace", text="Hello.", in_reply_to="", due_at=1.0)
        self._commit("escalation", event, self.settled)

    def close(self) -> None:
        """The end; what waits is answered yet."""
        if not any(isinstance(event, Closed) for stored in self.commits for event in stored.commit.events):
            self._commit("closed", Closed(reason="done"), self.settled)

    def _commit(self, kind: CommitKind, event: Event, inbox_seq: int) -> None:
        previous = self.commits[-1].sequence if self.commits else 0
        events = [earlier for stored in self.commits for earlier in stored.commit.events]
        commit = Commit(
            conversation=C,
            region="local",
            tenant="default",
            customer="ada",
            kind=kind,
            turn=turn_id(C, inbox_seq),
            epoch=0,
            owner="billing",
            agent="one",
            inbox_seq=inbox_seq,
            previous=previous,
            frames_before=frames_in(events),
            at=1.0,
            events=[event],
            ids_before=reduce(
                with_id, (event.message_id for event in events if isinstance(event, CustomerMessageEvent)), b""
            ),
            ended_before=any(stored.commit.kind == "closed" for stored in self.commits),
        )
        self.commits.append(CommitStored(sequence=previous + 3, commit=commit))
        self._told.append(self.commits[-1])
        if not self._slow:
            self.hear()

    # -- the ingress ---

    def hear(self) -> None:
        """The ingress hears of the next commit."""
        if self._told:
            self.sent.extend(self.ledger.commit(self._told.popleft()))

    def hear_all(self) -> None:
        """The ingress hears of everything."""
        while self._told:
            self.hear()

    @property
    def unsettled(self) -> list[tuple[int, InboxMessage]]:
        """What the inbox holds behind the last message that is settled."""
        return self.inbox[self.settled :]

    def replay(self) -> tuple[Ledger, list[DurableFrame]]:
        """What another ingress derives from the whole streams."""
        return Ledger.replay(self.commits, self.unsettled, end=len(self.inbox))


class WorldLine:
    """The streams of a world as an ingress reads them; `read` notes how the log was read."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.read: list[str] = []

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        self.read.append("last")
        return self.world.commits[-1] if self.world.commits else None

    async def commit_at(self, sequence: int) -> CommitStored | None:
        self.read.append("one")
        return next((stored for stored in self.world.commits if stored.sequence == sequence), None)

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        self.read.append("all")
        return [stored for stored in self.world.commits if stored.sequence > after]

    async def unsettled(self, region: str, conversation: ConversationId, *, after: int) -> Unsettled:
        return Unsettled(len(self.world.inbox), [item for item in self.world.inbox if item[0] > after])

    async def store(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> AppendResult:
        if message.previous != len(self.world.inbox):
            raise FenceError(message_id)
        self.world.inbox.append((len(self.world.inbox) + 1, message))
        return AppendResult(len(self.world.inbox))

    async def inbox(self, region: str, conversation: ConversationId, *, after: int) -> list[tuple[str, int, object]]:
        raise AssertionError("not for a customer who comes back")

    async def desk(self, region: str, conversation: ConversationId) -> list[tuple[str, int, object]]:
        raise AssertionError("not for a customer")

    async def abandon(self, turn: TurnId) -> None:
        pass

    async def announce(self, region: str, attached: SocketAttached) -> None:
        pass


def said(message_id: str, ledger: Ledger) -> TurnReceived:
    """A message as the ingress with this ledger would store it."""
    return TurnReceived(
        conversation=C,
        message_id=message_id,
        text="?",
        seq=ledger.next_seq,
        previous=ledger.last_inbox,
        customer="ada",
        tenant="default",
        region="local",
        channel="web",
        locale="en",
        ingress=Instance("ingress-1"),
        received_at=1.0,
    )


STEPS = ["say", "answer", "hand_off", "say", "answer", "to_person", "reply", "rate"]
scripts = st.lists(st.sampled_from(STEPS), max_size=40)
"""What happens in a conversation, when every commit is heard at once."""
slow_scripts = st.lists(st.sampled_from([*STEPS, "hear", "hear", "hear", "close"]), max_size=60)


def lived(script: list[str], *, slow: bool = False) -> World:
    """A world in which this has happened."""
    world = World(slow=slow)
    for step in script:
        getattr(world, step)()
    return world

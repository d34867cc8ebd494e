"""Simulated conversation: an ingress' ledger, both streams, and the frames that were sent."""

from __future__ import annotations

from collections import deque
from functools import reduce

from hypothesis import strategies as st
from trunkline_chassis.errors import FenceError
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.core.ledger import Ledger
from trunkline_ingress.ports import InboxPosition, UnsettledMessages
from trunkline_protocols.frames import DurableFrame
from trunkline_protocols.ids import ConversationId, Instance, TurnId, turn_id
from trunkline_protocols.inbox import FeedbackGiven, InboxMessage, TurnReceived
from trunkline_protocols.log import (
    Closed,
    Commit,
    CommitStored,
    CustomerMessageEvent,
    CustomerReplied,
    Event,
    HandedOff,
    NoteAdded,
    PersonReplied,
    TurnAnswered,
)
from trunkline_protocols.rules.frames import frames_in
from trunkline_protocols.rules.message_id_filter import with_id
from trunkline_protocols.subjects import CommitKind
from trunkline_protocols.turn import SocketAttached

C = ConversationId("cabc")
INTERNAL = "for colleagues only"


class ConversationSimulator:
    """Actions of customer, fleet and people; the ingress receives each commit at once, or on `receive`."""

    def __init__(self, *, delayed: bool = False) -> None:
        """`delayed`: commits are queued until `receive`."""
        self.ledger = Ledger()
        self.sent: list[DurableFrame] = []
        self.inbox: list[tuple[int, InboxMessage]] = []
        self.commits: list[CommitStored] = []
        self.settled = 0
        self._delayed = delayed
        self._notifications: deque[CommitStored] = deque()

    # -- the customer ---

    def message(self) -> None:
        """The customer sends a message."""
        message_id = f"m{len(self.inbox) + 1}"
        self.sent.append(self.ledger.accept(message_id, self._append(received(message_id, self.ledger))))

    def rate(self) -> None:
        """The customer rates the conversation: a message that no commit answers."""
        previous = self.ledger.last_inbox
        feedback = FeedbackGiven(conversation=C, previous=previous, rating=5, text="", received_at=1.0)
        self.ledger.last_inbox = self._append(feedback)

    def _append(self, message: InboxMessage) -> int:
        self.inbox.append((len(self.inbox) + 1, message))
        return len(self.inbox)

    # -- the fleet and people ---

    @property
    def unanswered(self) -> list[tuple[int, TurnReceived]]:
        """Unanswered messages with their sequences."""
        return [(inbox_seq, message) for inbox_seq, message in self.unsettled if isinstance(message, TurnReceived)]

    def answer(self) -> None:
        """Answer the oldest unanswered message."""
        if self.unanswered:
            inbox_seq, message = self.unanswered[0]
            event = TurnAnswered(
                message_id=message.message_id,
                accepted_seq=message.seq,
                text=message.text,
                received_at=1.0,
                answer="Soon.",
                specialty="billing",
                agent="one",
            )
            self._settle(inbox_seq, event)

    def forward_to_person(self) -> None:
        """Show the oldest unanswered message to a person, which sends no frame to the customer."""
        if self.unanswered:
            inbox_seq, message = self.unanswered[0]
            event = CustomerReplied(
                message_id=message.message_id, accepted_seq=message.seq, text=message.text, received_at=1.0
            )
            self._settle(inbox_seq, event)

    def _settle(self, inbox_seq: int, event: Event) -> None:
        self.settled = inbox_seq
        self._commit("turn", event, inbox_seq)

    def hand_off(self) -> None:
        """Hand off the turn in progress."""
        if self.unanswered:
            event = HandedOff(from_="billing", to="technical", agent="wifi", reason="r", summary="s")
            self._commit("handoff", event, self.unanswered[0][0])

    def person_reply(self) -> None:
        """A person replies, whether or not a message is unanswered."""
        event = PersonReplied(reply_id="r", person="grace", text="Hello.", in_reply_to="", due_at=1.0)
        self._commit("escalation", event, self.settled)

    def add_note(self) -> None:
        """A person adds an internal note, which sends no frame."""
        self._commit("escalation", NoteAdded(note_id="n", person="grace", text=INTERNAL), self.settled)

    def close(self) -> None:
        """Close the conversation; unanswered messages can still be answered."""
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
        self._notifications.append(self.commits[-1])
        if not self._delayed:
            self.receive()

    # -- the ingress ---

    def receive(self) -> None:
        """The ingress receives the next commit."""
        if self._notifications:
            self.sent.extend(self.ledger.apply_commit(self._notifications.popleft()))

    def receive_all(self) -> None:
        """The ingress receives all commits."""
        while self._notifications:
            self.receive()

    @property
    def unsettled(self) -> list[tuple[int, InboxMessage]]:
        """Messages in the inbox after the last settled one."""
        return self.inbox[self.settled :]

    def replay(self) -> tuple[Ledger, list[DurableFrame]]:
        """Return the ledger and frames that another ingress derives from the whole streams."""
        return Ledger.replay(self.commits, self.unsettled, end=len(self.inbox))


class SimulatedStreams:
    """Fake of all ports of a session on the streams of a simulator; `reads` records the reads of the log."""

    def __init__(self, simulator: ConversationSimulator) -> None:
        self.simulator = simulator
        self.reads: list[str] = []

    def ports(self) -> SessionPorts:
        return SessionPorts(inbox=self, log=self, presence=self, canceller=self)

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        self.reads.append("last")
        return self.simulator.commits[-1] if self.simulator.commits else None

    async def commit_at(self, sequence: int) -> CommitStored | None:
        self.reads.append("one")
        return next((stored for stored in self.simulator.commits if stored.sequence == sequence), None)

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        self.reads.append("all")
        return [stored for stored in self.simulator.commits if stored.sequence > after]

    async def unsettled(self, region: str, conversation: ConversationId, *, after: int) -> UnsettledMessages:
        inbox = self.simulator.inbox
        return UnsettledMessages(len(inbox), [item for item in inbox if item[0] > after])

    async def append(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> InboxPosition:
        if message.previous != len(self.simulator.inbox):
            raise FenceError(message_id)
        self.simulator.inbox.append((len(self.simulator.inbox) + 1, message))
        return InboxPosition(len(self.simulator.inbox))

    async def contains(self, region: str, conversation: ConversationId) -> bool:
        raise AssertionError("only a refused resume checks for the conversation")

    async def cancel(self, turn: TurnId) -> None:
        pass

    async def announce(self, region: str, attached: SocketAttached) -> None:
        pass


def received(message_id: str, ledger: Ledger) -> TurnReceived:
    """Return a message as the ingress with this ledger stores it."""
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


ACTIONS = [
    "message",
    "answer",
    "hand_off",
    "message",
    "answer",
    "forward_to_person",
    "person_reply",
    "rate",
    "add_note",
]
scripts = st.lists(st.sampled_from(ACTIONS), max_size=40)
"""Actions in a conversation whose commits are received at once."""
delayed_scripts = st.lists(st.sampled_from([*ACTIONS, "receive", "receive", "receive", "close"]), max_size=60)
"""Actions in a conversation whose commits are received late."""


def simulate(script: list[str], *, delayed: bool = False) -> ConversationSimulator:
    """Return a simulator that has run a script."""
    simulator = ConversationSimulator(delayed=delayed)
    for action in script:
        getattr(simulator, action)()
    return simulator

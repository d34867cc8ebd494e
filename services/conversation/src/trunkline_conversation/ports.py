"""Ports of the conversation service, one per collaborator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.context import Utterance
from trunkline_protocols.customers import CustomerKnown, ReadCustomer
from trunkline_protocols.desk import DeskOutcome, SlotMessage
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.inbox import EndRequested, TurnReceived
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.subjects import QueueColour
from trunkline_protocols.turn import AnswerTurn

from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Environment


@dataclass(frozen=True, slots=True)
class InboxItem:
    """A message with its sequence in the inbox."""

    sequence: int
    message: SlotMessage
    traceparent: str = ""
    """The trace that the message began, empty if it is not traced."""


class Log(Protocol):
    """Inbox, log and snapshots of the conversations of one region."""

    async def readable(self, item: InboxItem) -> InboxItem:
        """Return a delivered message with its texts in clear, or with `ERASED` in their place."""
        ...

    async def is_erased(self, key: str) -> bool:
        """Return whether the key of a conversation's texts is destroyed; without a request if it is in memory."""
        ...

    async def append(self, commit: Commit, *, message_id: str) -> int:
        """Append a commit behind `commit.previous` and return its sequence.

        Its texts are stored encrypted if it names a key; raises `TextsErasedError` if that key is destroyed.

        Raises `FenceError` if the log has other commits after `commit.previous`, or holds this very commit already.
        """
        ...

    async def commits(self, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read the commits with a sequence greater than `after`, in order; erased texts are `ERASED`."""
        ...

    async def customer_messages(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        """Read the customer's messages between two inbox sequences, both exclusive, in order."""
        ...

    async def last_customer_message(self, conversation: ConversationId) -> InboxItem | None:
        """Read the customer's last message as it is stored, None without any.

        Raises `DecodeError` if it is undecodable.
        """
        ...

    async def desk_commands(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        """Read the desk commands between two inbox sequences, both exclusive, in order."""
        ...

    async def snapshot(self, conversation: ConversationId) -> Snapshot | None:
        """Read the last snapshot."""
        ...

    async def store_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot without acknowledgement: a lost one only makes the next load slower."""
        ...


class WorkQueue(Protocol):
    """The queue of work for agents."""

    async def enqueue(self, request: AnswerTurn, colour: QueueColour) -> int:
        """Append a request to the queue of its specialty and of a colour, and return its position."""
        ...

    async def holds(self, request: AnswerTurn, position: int) -> bool | None:
        """Return whether a request still waits at `position`; None if the queue does not answer.

        It does not wait if an agents process took the request, or if the queue was lost.
        """
        ...

    async def requeue(self, request: AnswerTurn, position: int, colour: QueueColour) -> int:
        """Append a request again that was lost at `position`, or waits there for nothing; return its new position."""
        ...


class Notifier(Protocol):
    """Notifications without acknowledgement: a lost one is repaired by a resume or a repeated command."""

    async def notify_ingress(self, ingress: Instance, stored: CommitStored) -> None:
        """Publish a commit to the ingress that holds the customer's socket."""
        ...

    async def reply_to_desk(self, reply_to: str, outcome: DeskOutcome) -> None:
        """Publish the outcome of a desk command; no-op if `reply_to` is empty."""
        ...


class EscalationQueue(Protocol):
    """The queue of conversations that wait for a person at the desk, or are with one (KV DESK)."""

    def entries(self) -> Sequence[EscalationWaiting]:
        """Return all entries of the local view, unordered."""
        ...

    def entry(self, conversation: ConversationId) -> EscalationWaiting | None:
        """Return the entry of a conversation in the local view, None without one."""
        ...

    async def put(self, entry: EscalationWaiting) -> None:
        """Add or replace the entry of a conversation."""
        ...

    async def remove(self, conversation: ConversationId) -> None:
        """Remove the entry of a conversation, if any."""
        ...


class Environments(Protocol):
    """Fleet versions and the other inputs of decisions."""

    def with_version(self, state: Conversation) -> Conversation:
        """Return the state with the fleet version and the colour of its next message; a new conversation is drawn."""
        ...

    def queue_of(self, colour: str, specialty: str) -> QueueColour:
        """Return the queue for work of a conversation: another colour's if no agent of its own one is ready."""
        ...

    def read(self, fleet_version: int) -> Environment:
        """Return the current environment of conversations of a version."""
        ...


class CustomerDirectory(Protocol):
    """Known data about customers (KV CUSTOMERS), and the agents that read facts."""

    async def load(self, key: str) -> CustomerKnown:
        """Return what is stored under the subject of a customer; nothing known if it cannot be read."""
        ...

    async def read(self, request: ReadCustomer, *, timeout_s: float) -> CustomerKnown | None:
        """Have the facts that are due read and return the known data then; None if no process replies in time."""
        ...

    async def keep_earlier(
        self, key: str, conversation: ConversationId, earlier: list[Utterance], *, text_key: str
    ) -> None:
        """Store the last messages of a conversation; without effect if they cannot be stored.

        Nor if `text_key`, the key of the conversation, is destroyed.
        """
        ...


class Customers(Protocol):
    """Known data about the customers of a process' conversations, in memory."""

    def prepare(self, message: TurnReceived, fleet_version: int = 0) -> None:
        """Begin to load missing and outdated data for a fleet version (0: the served one), without waiting for it."""
        ...

    def known(self, message: TurnReceived) -> CustomerKnown:
        """Return the known data now."""
        ...

    def is_complete(self, message: TurnReceived) -> bool:
        """Return whether nothing is being read: waiting would change nothing."""
        ...

    async def current(self, message: TurnReceived, *, is_first: bool) -> CustomerKnown:
        """Return the known data; the first turn of a conversation waits for its readers, a later one for none."""
        ...

    def keep_earlier(
        self, message: EndRequested, transcript: Sequence[Utterance], *, text_key: str, fleet_version: int = 0
    ) -> None:
        """Keep the last messages of a conversation that ends, if its fleet wants them, without waiting for it."""
        ...


class SlotConsumer(Protocol):
    """The consumer of the inbox slots that this process holds."""

    @property
    def held(self) -> list[int]:
        """Slots that are pinned to this process."""
        ...

    async def take_over(self, slots: Iterable[int]) -> None:
        """Acquire the slots of a stopping or dead process without waiting for its pins to expire."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationPorts:
    """The collaborators that all conversations of a process share."""

    log: Log
    work_queue: WorkQueue
    notifier: Notifier
    escalation_queue: EscalationQueue
    customers: Customers
    borders: BorderGuard
    now: Callable[[], float]
    """Clock: Unix time in seconds."""

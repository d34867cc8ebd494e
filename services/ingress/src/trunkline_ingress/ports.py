"""What the ingress needs from the line behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from trunkline_protocols.desk import DeskMessage, DeskOutcome
from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.knowledge import KnowledgeReply, KnowledgeRequest
from trunkline_protocols.log import CommitStored
from trunkline_protocols.turn import SocketAttached


class StoredMessage(Protocol):
    """Where a message was stored."""

    @property
    def seq(self) -> int:
        """Its sequence in the inbox."""
        ...

    @property
    def duplicate(self) -> bool:
        """Whether it was there already."""
        ...


class Unsettled(NamedTuple):
    """What the customer said that the log does not settle yet."""

    end: int
    """Sequence of the conversation's last message in the inbox, settled or not, readable or not; 0 for none."""
    messages: list[tuple[int, InboxMessage]]
    """With their sequences, in order."""


class Line(Protocol):
    """The streams of one region, as the ingress uses them."""

    async def store(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> StoredMessage:
        """Store what the customer said behind `message.previous`.

        Raises `FenceError` when another ingress stored something in between, `BusUnavailableError` when nothing is
        known of the outcome.
        """
        ...

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read the conversation's commits after a sequence."""
        ...

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        """Read the conversation's last commit; None: it has none yet."""
        ...

    async def commit_at(self, sequence: int) -> CommitStored | None:
        """Read the commit at a sequence of the log; None: there is nothing."""
        ...

    async def inbox(
        self, region: str, conversation: ConversationId, *, after: int
    ) -> list[tuple[str, int, InboxMessage]]:
        """Read what the customer said after a sequence: subject, sequence, message."""
        ...

    async def unsettled(self, region: str, conversation: ConversationId, *, after: int) -> Unsettled:
        """Read what the customer said after the last sequence that a commit settles, and where the inbox ends."""
        ...

    async def desk(self, region: str, conversation: ConversationId) -> list[tuple[str, int, DeskMessage]]:
        """Read what people at the desk ordered: subject, sequence, order."""
        ...

    async def abandon(self, turn: TurnId) -> None:
        """Say that nobody waits for the answer to a turn any more; may be lost, then it is written to its end."""
        ...

    async def announce(self, region: str, attached: SocketAttached) -> None:
        """Say that this ingress holds the conversation's socket now."""
        ...


class Desk(Protocol):
    """What people at the desk order."""

    async def order(self, region: str, conversation: ConversationId, make: Callable[..., DeskMessage]) -> DeskOutcome:
        """Store an order and wait for what becomes of it.

        `make` takes conversation, previous, at and reply_to. Raises `BusUnavailableError` when nothing is heard: the
        order may be carried out yet.
        """
        ...


class Knowledge(Protocol):
    """The knowledge service."""

    async def ask(self, subject: str, question: KnowledgeRequest, *, timeout_s: float = 5.0) -> KnowledgeReply:
        """Ask; raises `BusUnavailableError` when it is not there."""
        ...

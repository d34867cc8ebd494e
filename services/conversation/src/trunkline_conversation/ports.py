"""What the conversation service needs from the outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trunkline_protocols.desk import DeskOutcome, SlotMessage
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.turn import AnswerTurn


@dataclass(frozen=True, slots=True)
class InboxItem:
    """A message with its sequence in the inbox."""

    sequence: int
    message: SlotMessage


class Log(Protocol):
    """The log of one region's conversations."""

    async def append(self, commit: Commit, *, message_id: str) -> int:
        """Store a commit behind `commit.previous` and return its sequence.

        Raises `FenceError` when the log has moved on, also when it moved on by this very commit.
        """
        ...

    async def commits(self, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read the commits with a sequence greater than `after`, in order."""
        ...

    async def inbox(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        """Read what the customer said between two inbox sequences, both exclusive, in order."""
        ...

    async def desk(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        """Read what the desk ordered between two inbox sequences, both exclusive, in order."""
        ...

    async def snapshot(self, conversation: ConversationId) -> Snapshot | None:
        """Read the last snapshot."""
        ...

    async def store_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; may be lost without harm."""
        ...


class Outside(Protocol):
    """Those whom a conversation talks to."""

    async def ask(self, order: AnswerTurn) -> int:
        """Put work into the queue of its specialty and return its place there."""
        ...

    async def requeue(self, order: AnswerTurn, place: int) -> int:
        """Put an order into the queue anew, unless it still waits at its place; return where it waits now.

        It is gone from there when the queue was lost, or when who took it died before saying so.
        """
        ...

    async def tell(self, ingress: Instance, stored: CommitStored) -> None:
        """Tell the ingress what was committed; may be lost without harm."""
        ...

    async def show_waiting(self, entry: EscalationWaiting) -> None:
        """Show a conversation at the desk."""
        ...

    async def hide_waiting(self, conversation: ConversationId) -> None:
        """Take a conversation from the desk."""
        ...

    async def answer_desk(self, reply_to: str, outcome: DeskOutcome) -> None:
        """Tell a person what became of an order; may be lost without harm."""
        ...

    def now(self) -> float:
        """Unix time in seconds."""
        ...

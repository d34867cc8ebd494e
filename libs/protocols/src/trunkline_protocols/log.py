"""The conversation log: commits and the events in them. Conversation state is the fold of these and nothing else."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.subjects import CommitKind
from trunkline_protocols.turn import Citation, Record, Retrieved, Timings, Try, Urgency, Usage, Wire


class Started(Record, frozen=True, kw_only=True, tag_field="event", tag="started"):
    """The conversation exists; in its first commit."""

    customer: str
    tenant: str
    channel: str
    locale: str


class OwnerAssigned(Record, frozen=True, kw_only=True, tag_field="event", tag="owner_assigned"):
    """Triage's choice: the first owner."""

    to: str
    agent: str
    confidence: float = 0.0
    timings: Timings = Timings()


class TurnAnswered(Record, frozen=True, kw_only=True, tag_field="event", tag="turn_answered"):
    """A customer's message and the fleet's answer to it."""

    message_id: str
    accepted_seq: int
    customer_text: str
    received_at: float
    text: str
    specialty: str
    agent: str
    citations: list[Citation] = []
    retrieved: list[Retrieved] = []
    provider: str = ""
    model: str = ""
    usage: Usage = Usage()
    timings: Timings = Timings()
    attempt: int = 1
    instance: str = ""
    tries: list[Try] = []


class HandedOff(Record, frozen=True, kw_only=True, tag_field="event", tag="handed_off"):
    """Ownership moved."""

    from_: str
    to: str
    agent: str
    reason: str
    summary: str
    timings: Timings = Timings()
    instance: str = ""


class Consulted(Record, frozen=True, kw_only=True, tag_field="event", tag="consulted"):
    """A specialist was asked, and what it advised."""

    specialty: str
    agent: str
    question: str
    advice: str
    usage: Usage = Usage()


class Escalated(Record, frozen=True, kw_only=True, tag_field="event", tag="escalated"):
    """The conversation waits for a senior agent or a person."""

    from_: str
    urgency: Urgency
    reason: str
    summary: str
    position: int = 0


class Closed(Record, frozen=True, kw_only=True, tag_field="event", tag="closed"):
    """Nothing more comes."""

    reason: str


Event: TypeAlias = Started | OwnerAssigned | TurnAnswered | HandedOff | Consulted | Escalated | Closed


class Commit(Wire, frozen=True, kw_only=True, tag="commit"):
    """One append to a conversation's log: what the fleet decided in answer to one inbox message."""

    conversation: ConversationId
    region: str
    tenant: str
    customer: str
    kind: CommitKind
    turn: TurnId
    epoch: int
    owner: str
    agent: str
    inbox_seq: int
    """Stream sequence of the inbox message that this answers; unless this is a handoff, all up to it is done."""
    previous: int
    """Stream sequence of the conversation's commit before, 0 for the first: the fence, and readers' gap check."""
    at: float
    events: list[Event]


class CommitStored(Wire, frozen=True, kw_only=True, tag="commit.stored"):
    """Tells the ingress what was appended, and where: `previous` shows a gap when one was missed."""

    sequence: int
    commit: Commit

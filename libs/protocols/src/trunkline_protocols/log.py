"""The conversation log: commits and the events in them. Conversation state is the fold of these and nothing else."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.accounting import ProviderAttempt, Timings, ToolUse, Usage
from trunkline_protocols.citations import Citation, Retrieved
from trunkline_protocols.consultation import ConsultOutcome
from trunkline_protocols.context import Urgency
from trunkline_protocols.escalation import Level
from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.subjects import CommitKind
from trunkline_protocols.wire import Record, Wire


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
    attempts: list[ProviderAttempt] = []
    abstained: bool = False
    """The agent had to say that it does not know."""
    notices: list[str] = []
    fleet_version: int = 0


class CustomerSaid(Record, frozen=True, kw_only=True, tag_field="event", tag="customer_said"):
    """A customer's message to the person who has the conversation; the reply comes when the person writes it."""

    message_id: str
    accepted_seq: int
    text: str
    received_at: float


class PersonReplied(Record, frozen=True, kw_only=True, tag_field="event", tag="person_replied"):
    """A person at the desk wrote to the customer."""

    reply_id: str
    person: str
    text: str
    in_reply_to: str
    """The customer's message that it answers, empty when none was unanswered."""
    due_at: float
    """When the conversation waits again, unless the person says more."""


class HandedOff(Record, frozen=True, kw_only=True, tag_field="event", tag="handed_off"):
    """Ownership moved."""

    from_: str
    to: str
    agent: str
    reason: str
    summary: str
    timings: Timings = Timings()
    instance: str = ""
    asked_for: list[str] = []
    """All specialties that were asked for at once, when there was more than one."""
    model: str = ""
    """Who wrote the summary; empty: it is in the conversation's own words."""
    usage: Usage = Usage()


class Consulted(Record, frozen=True, kw_only=True, tag_field="event", tag="consulted"):
    """A specialist was asked while the turn was answered, and what came of it."""

    specialty: str
    agent: str
    question: str
    advice: str
    usage: Usage = Usage()
    consultation: str = ""
    asked_by: str = ""
    outcome: ConsultOutcome = "advised"
    reason: str = ""
    """Why there is no advice."""
    citations: list[Citation] = []
    took_ms: float = 0.0
    work_ms: float = 0.0


class ToolUsed(Record, frozen=True, kw_only=True, tag_field="event", tag="tool_used"):
    """An agent has called a tool on the way to what is committed here."""

    specialty: str
    use: ToolUse


class Escalated(Record, frozen=True, kw_only=True, tag_field="event", tag="escalated"):
    """The conversation goes to senior agents or waits for a person."""

    from_: str
    urgency: Urgency
    reason: str
    summary: str
    position: int = 0
    level: Level = "senior"
    since: float = 0.0
    due_at: float = 0.0


class Breached(Record, frozen=True, kw_only=True, tag_field="event", tag="breached"):
    """The SLA clock of an escalation ran out: its urgency rises, and a silent person loses it."""

    from_urgency: Urgency
    urgency: Urgency
    due_at: float
    position: int = 0
    claimed_by: str = ""
    """The person who had it and stayed silent."""


class LeftQueue(Record, frozen=True, kw_only=True, tag_field="event", tag="left_queue"):
    """The customer no longer waits for a person."""

    to: str


class Claimed(Record, frozen=True, kw_only=True, tag_field="event", tag="claimed"):
    """A person has taken the conversation."""

    person: str
    due_at: float


class HandedBack(Record, frozen=True, kw_only=True, tag_field="event", tag="handed_back"):
    """A person has given the conversation back to the fleet."""

    person: str
    to: str
    note: str


class Closed(Record, frozen=True, kw_only=True, tag_field="event", tag="closed"):
    """Nothing more comes."""

    reason: str


Event: TypeAlias = (
    Started
    | OwnerAssigned
    | TurnAnswered
    | CustomerSaid
    | PersonReplied
    | HandedOff
    | Consulted
    | ToolUsed
    | Escalated
    | Breached
    | LeftQueue
    | Claimed
    | HandedBack
    | Closed
)
CustomerMessageEvent: TypeAlias = TurnAnswered | CustomerSaid
"""Events that hold a message of the customer's, with the number of its frame `accepted`."""
VisibleEvent: TypeAlias = (
    TurnAnswered | PersonReplied | HandedOff | Escalated | Breached | LeftQueue | Claimed | HandedBack | Closed
)
"""Events of which the customer sees a durable frame."""


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
    """Stream sequence of the customer's message that this answers; see `settles`."""
    previous: int
    """Stream sequence of the conversation's commit before, 0 for the first: the fence, and readers' gap check."""
    frames_before: int
    """Durable frames that belong to the commits before, see `frames_in`: numbers follow from it, see ADR 0018."""
    at: float
    events: list[Event]
    ids_before: bytes = b""
    """Ids of the messages in the commits before, as a filter, see `seen`: a new id is known without reading them."""
    ended_before: bool = False
    """Whether a commit before has ended the conversation; what had been said by then is still answered."""
    desk_seq: int = 0
    """Stream sequence of the desk's order that this carries out, 0 for none."""

    @property
    def settles(self) -> bool:
        """Whether everything that the customer said up to `inbox_seq` is settled by this; else the turn goes on."""
        return self.kind in {"turn", "closed"}


class CommitStored(Wire, frozen=True, kw_only=True, tag="commit.stored"):
    """Tells the ingress what was appended, and where: `previous` shows a gap when one was missed."""

    sequence: int
    commit: Commit

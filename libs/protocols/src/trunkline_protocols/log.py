"""Conversation log: commits and their events. The state of a conversation is the fold of these events only."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.accounting import ProviderAttempt, Timings, ToolUse, Usage
from trunkline_protocols.citations import Citation, Retrieved
from trunkline_protocols.consultation import ConsultOutcome
from trunkline_protocols.escalation import Level, Urgency
from trunkline_protocols.evidence import RoutingEvidence, Score
from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.rollout import FleetDraw, ReleaseDraw
from trunkline_protocols.subjects import CommitKind
from trunkline_protocols.texts import StoredTexts, Text
from trunkline_protocols.wire import Record, Wire


class Started(Record, frozen=True, kw_only=True, tag_field="event", tag="started"):
    """First event of a conversation."""

    customer: str
    tenant: str
    channel: str
    locale: str
    tier: str = ""
    verified: bool = False
    """If true, customer, tenant and tier come from a verified access token."""


class OwnerAssigned(Record, frozen=True, kw_only=True, tag_field="event", tag="owner_assigned"):
    """First owner of the conversation, chosen by triage."""

    to: str
    agent: str
    confidence: float = 0.0
    """Lead of the chosen specialty's score over the next."""
    timings: Timings = Timings()
    evidence: RoutingEvidence | None = None


class FactsUsed(Record, frozen=True, kw_only=True):
    """Facts about the customer that an answer had: their names and ages, and a hash, but not their values."""

    ages_s: dict[str, float]
    """Age by name, in seconds."""
    sha256: Text
    """Hash of the conversation's id and the facts."""


class TurnAnswered(Record, frozen=True, kw_only=True, tag_field="event", tag="turn_answered"):
    """The customer's message, `text`, and the fleet's `answer`."""

    message_id: str
    accepted_seq: int
    text: Text
    received_at: float
    answer: Text
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
    """If true, the agent could not answer from the knowledge base."""
    notices: list[str] = []
    """Ids of the notices that this answer includes."""
    fleet_version: int = 0
    title: str = ""
    """The agent's title at the time of the answer; empty for a text of the system."""
    stop_reason: str = ""
    """Reason of the completion's end, `length` for an incomplete text; empty if no model answered."""
    facts: FactsUsed | None = None
    active_notices: list[str] = []
    """Ids of all notices in force for the agent, those of earlier answers too."""
    routing: RoutingEvidence | None = None
    """Evidence for asking back, if triage does so."""


class CustomerReplied(Record, frozen=True, kw_only=True, tag_field="event", tag="customer_said"):
    """A customer's message to the person with the claim; the reply is a later event."""

    message_id: str
    accepted_seq: int
    text: Text
    received_at: float


class PersonReplied(Record, frozen=True, kw_only=True, tag_field="event", tag="person_replied"):
    """Reply of a person at the desk to the customer."""

    reply_id: str
    person: str
    text: Text
    in_reply_to: str
    """Id of the answered message, empty if none was open."""
    due_at: float
    """Deadline for the person's next reply, after which the claim is revoked."""


class HandedOff(Record, frozen=True, kw_only=True, tag_field="event", tag="handed_off"):
    """Ownership moved to another specialty."""

    from_: str
    to: str
    agent: str
    reason: Text
    summary: Text
    timings: Timings = Timings()
    instance: str = ""
    candidates: list[str] = []
    """All requested target specialties, if there were several."""
    model: str = ""
    """Model that wrote the summary; empty if it is an extract."""
    usage: Usage = Usage()
    """Usage of the summary, and of the completions before the handoff."""
    provider: str = ""
    from_agent: str = ""
    """Agent that handed over, empty if it is not known."""
    confidence: float = 0.0
    """Lead of the new specialty's score over that of the former one; 1 for a decision by a model."""
    evidence: RoutingEvidence | None = None
    retrieved: list[Retrieved] = []
    """Passages found before the handoff."""


class Consulted(Record, frozen=True, kw_only=True, tag_field="event", tag="consulted"):
    """Consultation of a specialist during the turn, with its outcome."""

    specialty: str
    agent: str
    question: Text
    advice: Text
    usage: Usage = Usage()
    consultation: str = ""
    requested_by: str = ""
    outcome: ConsultOutcome = "advised"
    reason: Text = ""
    """Reason for missing advice."""
    citations: list[Citation] = []
    took_ms: float = 0.0
    work_ms: float = 0.0
    provider: str = ""
    model: str = ""
    retrieved: list[Retrieved] = []


class ToolUsed(Record, frozen=True, kw_only=True, tag_field="event", tag="tool_used"):
    """Tool call by an agent during the turn."""

    specialty: str
    use: ToolUse


class Escalated(Record, frozen=True, kw_only=True, tag_field="event", tag="escalated"):
    """Escalation to senior agents or to a person."""

    from_: str
    urgency: Urgency
    reason: Text
    summary: Text
    position: int = 0
    level: Level = "senior"
    since: float = 0.0
    due_at: float = 0.0
    say: Text = ""
    """Authored instruction that the customer reads first."""
    agent: str = ""
    """Agent that demanded it; empty if a rule of the conversation did."""
    instance: str = ""
    scores: list[Score] = []
    """Evidence: recognised intents with their probabilities, or counts with the names of what was counted."""
    provider: str = ""
    model: str = ""
    """Model that decided or abstained before; empty if none did."""
    usage: Usage = Usage()
    """Usage of the completions before the escalation."""
    retrieved: list[Retrieved] = []
    """Passages found before the escalation."""


class Breached(Record, frozen=True, kw_only=True, tag_field="event", tag="breached"):
    """SLA breach of an escalation: its urgency rises, and an inactive person's claim is revoked."""

    from_urgency: Urgency
    urgency: Urgency
    due_at: float
    position: int = 0
    claimed_by: str = ""
    """Person whose claim was revoked, or empty."""


class LeftQueue(Record, frozen=True, kw_only=True, tag_field="event", tag="left_queue"):
    """The customer left the escalation queue."""

    to: str


class Claimed(Record, frozen=True, kw_only=True, tag_field="event", tag="claimed"):
    """A person claimed the conversation."""

    person: str
    due_at: float


class HandedBack(Record, frozen=True, kw_only=True, tag_field="event", tag="handed_back"):
    """A person returned the conversation to the fleet."""

    person: str
    to: str
    note: Text


class NoteAdded(Record, frozen=True, kw_only=True, tag_field="event", tag="note_added"):
    """Internal note of a person at the desk, for colleagues only: never in a frame or in the context of an agent."""

    note_id: str
    person: str
    text: Text


class Closed(Record, frozen=True, kw_only=True, tag_field="event", tag="closed"):
    """End of the conversation."""

    reason: Text
    person: str = ""
    """Person at the desk who ended it; empty otherwise."""


Event: TypeAlias = (
    Started
    | OwnerAssigned
    | TurnAnswered
    | CustomerReplied
    | PersonReplied
    | HandedOff
    | Consulted
    | ToolUsed
    | Escalated
    | Breached
    | LeftQueue
    | Claimed
    | HandedBack
    | NoteAdded
    | Closed
)
CustomerMessageEvent: TypeAlias = TurnAnswered | CustomerReplied
"""Events with a customer's message and the number of its `accepted` frame."""
VisibleEvent: TypeAlias = (
    TurnAnswered | PersonReplied | HandedOff | Escalated | Breached | LeftQueue | Claimed | HandedBack | Closed
)
"""Events that are shown to the customer as a durable frame."""


class Commit(StoredTexts, frozen=True, kw_only=True, tag="commit"):
    """One append to a conversation's log: the fleet's decision on one inbox message."""

    identity = ("conversation", "turn", "previous")

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
    """Stream sequence of the customer's message being answered; see `settles`."""
    previous: int
    """Stream sequence of the conversation's previous commit, 0 for the first: the fence, and the gap check."""
    frames_before: int
    """Number of durable frames in the previous commits, see `frames_in`; frame numbers derive from it (ADR 0018)."""
    at: float
    events: list[Event]
    ids_before: bytes = b""
    """Message ids of the previous commits as a Bloom filter, see `rules.message_id_filter`."""
    ended_before: bool = False
    """If true, an earlier commit closed the conversation; messages accepted before that are still answered."""
    desk_seq: int = 0
    """Stream sequence of the desk command that this commit executes, 0 for none."""
    erased: bool = False
    """If true, the conversation ends because the key of its texts is destroyed; this commit is in clear."""
    fleet_version: int = 0
    """Fleet version of the conversation, see ADR 0034; 0 if a process before 0.2 wrote the commit."""
    draw: FleetDraw | None = None
    """Draw of the conversation, if it began in a roll-out."""
    colour: str = ""
    """Release whose agents answer the conversation, empty without colours."""
    release_draw: ReleaseDraw | None = None
    """Draw between two releases, if the conversation began in their roll-out."""

    @property
    def settles(self) -> bool:
        """Return whether all messages up to `inbox_seq` are settled; if not, the turn continues."""
        return self.kind in {"turn", "closed"}


class CommitStored(Wire, frozen=True, kw_only=True, tag="commit.stored"):
    """Notification of the ingress about an appended commit; `previous` of the commit reveals gaps."""

    sequence: int
    commit: Commit

"""Work of a turn: the command to an agent, its results, and the streamed pieces of the answer.

Commands are imperative (`AnswerTurn`), results are past participles (`Answered`). Times are Unix seconds (UTC) in
`*_at`, durations are milliseconds in `*_ms`, money is US dollars.
"""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.accounting import ProviderAttempt, Timings, ToolUse, Usage
from trunkline_protocols.citations import Citation, Retrieved
from trunkline_protocols.consultation import Consult, Consultation
from trunkline_protocols.context import Context
from trunkline_protocols.escalation import Level, Urgency
from trunkline_protocols.evidence import RoutingEvidence, Score
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, TurnRef
from trunkline_protocols.subjects import Lane
from trunkline_protocols.wire import Record, Wire


class MessageAnalysis(Record, frozen=True, kw_only=True):
    """What is known about a message before it is answered: made once in a turn and passed on with the work."""

    embedder: str = ""
    """Fingerprint of the model that made `vector`."""
    vector: bytes = b""
    """Message vector, see `MessageAnalysed`."""
    language: str = ""
    """Language of the message (ISO 639-1) if it is certainly none of the fleet's, else empty."""
    intent: str = ""
    """Recognised intent, for example `thanks`; empty for an ordinary question."""
    corrected: str = ""
    """The message with its typing mistakes corrected; empty if there are none."""


class AnswerTurn(Wire, frozen=True, kw_only=True, tag="turn.answer"):
    """Command: an agent of `specialty` answers this turn with the given context."""

    ref: TurnRef
    specialty: Specialty
    agent: str
    """Agent that owns the conversation; default: chosen by the specialty."""
    text: str
    """The customer's message."""
    context: Context
    reply_to: Instance
    """Conversation process that awaits the result."""
    ingress: Instance
    dispatched_at: float
    deadline_at: float
    lane: Lane = "normal"
    urgency: Urgency = "normal"
    due_at: float = 0.0
    """SLA deadline of an escalation, 0 for other work."""
    analysis: MessageAnalysis | None = None
    """Analysis by the agent that routed or handed over the turn; None for the first agent."""
    is_waiting: bool = False
    """If true, the customer waits for a person: only an explicit question with a good answer is answered."""
    key: str = ""
    """Id of the key that the tool steps of this turn are stored with; empty: in clear."""
    fleet_version: int = 0
    """Fleet version of the turn; 0, and one that the process has not loaded: the served one."""
    may_continue: bool = False
    """If true, a process that serves the specialty that triage chooses may answer the next hop too: the context is
    complete, and the requester knows `Routed.continued`."""


WorkMessage: TypeAlias = AnswerTurn | Consult


class AgentHeartbeat(Wire, frozen=True, kw_only=True, tag="agent.heartbeat"):
    """Heartbeat of an agent process for its current turns, to one conversation process."""

    turns: list[TurnId]
    claimed: list[TurnRef] = []
    """Turns that this heartbeat is the first one for: from now on their heartbeats are expected."""


class Answered(Wire, frozen=True, kw_only=True, tag="turn.answered"):
    """Result: the text for the customer."""

    ref: TurnRef
    specialty: Specialty
    agent: str
    text: str
    title: str = ""
    """The agent's title, as the customer sees it."""
    citations: list[Citation] = []
    retrieved: list[Retrieved] = []
    owns: bool = True
    """False for small talk and clarifying questions, which do not change the owner."""
    abstained: bool = False
    """If true, the agent could not answer from the knowledge base."""
    consultations: list[Consultation] = []
    notices: list[str] = []
    """Ids of the notices that this answer includes."""
    active_notices: list[str] = []
    """Ids of all notices in force for the agent, those of earlier answers too."""
    routing: RoutingEvidence | None = None
    """Evidence for asking back, if triage does so."""
    provider: str = ""
    model: str = ""
    usage: Usage = Usage()
    timings: Timings = Timings()
    fleet_version: int = 0
    instance: str = ""
    attempts: list[ProviderAttempt] = []
    """Attempts of all providers, if more than one was needed."""
    tools: list[ToolUse] = []
    stop_reason: str = ""
    """Reason of the completion's end, `length` for an incomplete text; empty if no model answered."""


class Routed(Wire, frozen=True, kw_only=True, tag="turn.routed"):
    """Result of triage: the specialty and agent chosen for a conversation without owner."""

    ref: TurnRef
    to: Specialty
    agent: str
    confidence: float
    timings: Timings = Timings()
    fleet_version: int = 0
    analysis: MessageAnalysis | None = None
    continued: bool = False
    """If true, this agents process serves the chosen specialty too and has begun the next hop: it is claimed."""
    evidence: RoutingEvidence | None = None


class HandOffTarget(Record, frozen=True, kw_only=True):
    """Candidate specialty and agent of a handoff."""

    to: Specialty
    agent: str
    confidence: float = 0.0


class HandOff(Wire, frozen=True, kw_only=True, tag="turn.hand_off"):
    """Result: another specialty should own the conversation and answer this turn.

    Several targets may be requested: `to` and `others`. The conversation service selects one.
    """

    ref: TurnRef
    specialty: Specialty
    """Specialty that hands over."""
    to: Specialty
    agent: str
    reason: str
    summary: str
    from_agent: str = ""
    """Agent that hands over, empty if it is not known."""
    confidence: float = 0.0
    others: list[HandOffTarget] = []
    provider: str = ""
    model: str = ""
    """Model that wrote the summary; empty if it is an extract."""
    usage: Usage = Usage()
    """Usage of the summary, and of the completions before this decision."""
    timings: Timings = Timings()
    fleet_version: int = 0
    instance: str = ""
    tools: list[ToolUse] = []
    """Tool calls before this decision."""
    consultations: list[Consultation] = []
    """Consultations before this decision."""
    retrieved: list[Retrieved] = []
    """Passages found before this decision."""
    analysis: MessageAnalysis | None = None
    evidence: RoutingEvidence | None = None


class Escalate(Wire, frozen=True, kw_only=True, tag="turn.escalate"):
    """Result: the turn needs a senior agent or a person."""

    ref: TurnRef
    urgency: Urgency
    reason: str
    summary: str
    level: Level = "senior"
    say: str = ""
    """Authored instruction that the customer reads first, for example in case of danger."""
    fleet_version: int = 0
    tools: list[ToolUse] = []
    """Tool calls before this decision."""
    consultations: list[Consultation] = []
    """Consultations before this decision."""
    retrieved: list[Retrieved] = []
    """Passages found before this decision."""
    analysis: MessageAnalysis | None = None
    agent: str = ""
    """Agent that demands the escalation."""
    instance: str = ""
    scores: list[Score] = []
    """Evidence: the recognised intents with their probabilities."""
    provider: str = ""
    model: str = ""
    """Model that decided; empty if none did."""
    usage: Usage = Usage()
    """Usage of the completions before this decision."""


class TurnFailed(Wire, frozen=True, kw_only=True, tag="turn.failed"):
    """Result: the agent failed; `retryable` if another attempt may succeed."""

    ref: TurnRef
    reason: str
    retryable: bool
    fleet_version: int = 0
    cancelled: bool = False
    """If true, the customer has ended the conversation and no answer is expected."""
    tools: list[ToolUse] = []
    """Tool calls before the failure."""


TurnResult: TypeAlias = Answered | Routed | HandOff | Escalate | TurnFailed


AgentMessage: TypeAlias = Answered | Routed | HandOff | Escalate | TurnFailed | AgentHeartbeat


class Delta(Wire, frozen=True, kw_only=True, tag="delta"):
    """A streamed piece of an answer. Ephemeral: the commit is authoritative, and alone has the end of the text."""

    ref: TurnRef
    text: str
    replace: bool = False
    """If true, this piece replaces all earlier pieces of the turn."""
    source: str = ""
    """Id of the completion; pieces of different completions are never mixed."""


class SocketAttached(Wire, frozen=True, kw_only=True, tag="attached"):
    """Announcement of the ingress that holds the conversation's socket; commits are published to it.

    A server that was frozen delivers announcements that it received before: an older socket never replaces a newer one.
    """

    conversation: ConversationId
    ingress: Instance
    attached_at: float = 0.0
    """When the socket was opened, in Unix seconds; 0 if unknown."""

"""Messages of a turn's path: inbox, work, results, deltas.

Commands order (`AnswerTurn`), events report (`TurnReceived`). Times are Unix seconds (UTC) in `*_at`, durations are
milliseconds in `*_ms`, money is US dollars.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId
from trunkline_protocols.subjects import Lane

Role = Literal["customer", "agent", "person"]
Urgency = Literal["low", "normal", "high", "critical"]
ConsultOutcome = Literal["advised", "refused", "timeout", "too_late"]


class Wire(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """What all wire messages share: immutable, named fields, defaults left out, an explicit `type` tag."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a message; has no tag of its own."""


# -- parts ---


class Citation(Record, frozen=True, kw_only=True):
    """A verbatim quote of one article that supports the answer."""

    document: str
    title: str
    quote: str
    rev: int = 0
    """Version of the article that the quote is verbatim in; 0 where it is not known."""


class Retrieved(Record, frozen=True, kw_only=True):
    """A passage that was found for a turn, by reference; `score` grows with relevance."""

    document: str
    score: float


class Usage(Record, frozen=True, kw_only=True):
    """What a completion used and cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


class Try(Record, frozen=True, kw_only=True):
    """One provider's part in a completion that needed more than one."""

    provider: str
    model: str
    outcome: str
    """`answered`, or the code of the failure."""
    characters: int = 0
    """So much it had written; shown to the customer, and continued or replaced by the next."""
    continued: bool = False
    """It went on where the one before had stopped, instead of beginning anew."""
    cost: float = 0.0
    """US dollars; of a try that failed, an estimate by its characters."""
    ms: float = 0.0


class Timings(Record, frozen=True, kw_only=True):
    """Where the time of a turn's work went, in milliseconds."""

    queued_ms: float = 0.0
    route_ms: float = 0.0
    search_ms: float = 0.0
    completion_ms: float = 0.0
    first_token_ms: float = 0.0
    model_ms: float = 0.0
    """The model's own time: what is left when it is taken away is Trunkline's overhead."""


class Consultation(Record, frozen=True, kw_only=True):
    """One specialist that was asked while a turn was answered, and what came of it."""

    consultation: str
    specialty: str
    question: str
    outcome: ConsultOutcome
    agent: str = ""
    advice: str = ""
    citations: list[Citation] = []
    reason: str = ""
    """Why there is no advice."""
    usage: Usage = Usage()
    took_ms: float = 0.0
    """From the question to the advice, as the asker saw it."""
    work_ms: float = 0.0
    """The specialist's own work in it."""


class Utterance(Record, frozen=True, kw_only=True):
    """One thing that was said in a conversation; `specialty` and `agent` only for agents."""

    role: Role
    text: str
    specialty: str = ""
    agent: str = ""


class Context(Record, frozen=True, kw_only=True):
    """What an agent must know about a conversation to answer in it."""

    customer: str
    tenant: str
    region: str
    locale: str
    transcript: list[Utterance]
    summary: str = ""
    """What happened before the transcript begins."""
    note: str = ""
    """What the agent that handed over, or the person at the desk, wrote for the next one."""


# -- customer -> conversation (stream INBOX) ---


class TurnReceived(Wire, frozen=True, kw_only=True, tag="turn.received"):
    """A customer said something; stored before the customer sees `accepted`."""

    conversation: ConversationId
    message_id: str
    """The client's own id; a repeat is the same message."""
    text: str
    seq: int
    """The number of the `accepted` frame: kept here so that every ingress derives the same numbers again."""
    previous: int
    """Inbox sequence of the conversation's message before, 0 for the first: shows a gap to the reader."""
    customer: str
    tenant: str
    region: str
    channel: str
    locale: str
    ingress: Instance
    received_at: float
    tier: str = ""
    """The customer's tier, where the company has any."""


class EndRequested(Wire, frozen=True, kw_only=True, tag="end.requested"):
    """The customer closes the conversation."""

    conversation: ConversationId
    previous: int
    customer: str
    tenant: str
    ingress: Instance
    received_at: float


class FeedbackGiven(Wire, frozen=True, kw_only=True, tag="feedback.given"):
    """The customer rates the conversation, 1 (bad) to 5 (good)."""

    conversation: ConversationId
    previous: int
    rating: int
    received_at: float
    text: str = ""


class WaitCancelled(Wire, frozen=True, kw_only=True, tag="wait.cancelled"):
    """The customer leaves an escalation queue."""

    conversation: ConversationId
    previous: int
    ingress: Instance
    received_at: float
    customer: str = ""
    tenant: str = ""


InboxMessage: TypeAlias = TurnReceived | EndRequested | FeedbackGiven | WaitCancelled


# -- conversation -> agents (stream WORK) ---


class AnswerTurn(Wire, frozen=True, kw_only=True, tag="turn.answer"):
    """Order: an agent of `specialty` answers this turn, with everything it needs to know."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    """1 at first; the next when an agent fell silent. Results of an earlier attempt are dropped."""
    hop: int
    """How often this turn has changed its specialty."""
    epoch: int
    """How often the conversation has changed its owner; results of an earlier epoch are dropped."""
    specialty: Specialty
    agent: str
    """The agent that owns the conversation, or empty: the specialty chooses."""
    text: str
    context: Context
    owner: Instance
    """The conversation process that waits for the result."""
    ingress: Instance
    dispatched_at: float
    deadline_at: float
    lane: Lane = "normal"
    handed_off_from: str = ""
    urgency: Urgency = "normal"
    due_at: float = 0.0
    """When an escalation's SLA runs out, 0 for other work."""


class Consult(Wire, frozen=True, kw_only=True, tag="consult"):
    """Order: a specialist gives advice to another agent; ownership stays where it is.

    `depth` is 1 for a question of an agent that answers a customer; a specialist that consults in turn asks with 2.
    """

    consultation: str
    conversation: ConversationId
    turn: TurnId
    specialty: Specialty
    asked_by: str
    """The specialty that asks."""
    question: str
    context: Context
    depth: int
    deadline_at: float
    asker: Instance = Instance("")
    """The process that waits for the advice."""
    asked_at: float = 0.0
    agent: str = ""
    """The agent that is meant, or empty: the specialty chooses."""


class ConsultCancelled(Wire, frozen=True, kw_only=True, tag="consult.cancelled"):
    """Nobody waits for this advice any more."""

    consultation: str
    reason: str


WorkMessage: TypeAlias = AnswerTurn | Consult


# -- agents -> conversation (core); results name the epoch that they were asked in ---


class TaskClaimed(Wire, frozen=True, kw_only=True, tag="task.claimed"):
    """An agent process has taken a turn; from now on its beats are expected."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    hop: int
    instance: Instance


class AgentBeat(Wire, frozen=True, kw_only=True, tag="agent.beat"):
    """An agent process lives and works on these turns."""

    instance: Instance
    turns: list[TurnId]


class Answered(Wire, frozen=True, kw_only=True, tag="turn.answered"):
    """Result: the text for the customer."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    hop: int
    specialty: Specialty
    agent: str
    text: str
    citations: list[Citation] = []
    retrieved: list[Retrieved] = []
    owns: bool = True
    """False for small talk and clarifying questions: nobody becomes the owner by them."""
    abstained: bool = False
    """The agent had to say that it does not know."""
    consultations: list[Consultation] = []
    notices: list[str] = []
    """Ids of the notices that were in force for this answer."""
    confidence: float = 0.0
    provider: str = ""
    model: str = ""
    usage: Usage = Usage()
    timings: Timings = Timings()
    epoch: int = 0
    fleet_version: int = 0
    instance: str = ""
    tries: list[Try] = []
    """Providers that had a part in the text, where it needed more than one."""


class Routed(Wire, frozen=True, kw_only=True, tag="turn.routed"):
    """Result of triage: which specialty, and which of its agents, answers an unowned conversation."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    hop: int
    to: Specialty
    agent: str
    confidence: float
    timings: Timings = Timings()
    epoch: int = 0
    fleet_version: int = 0
    instance: str = ""


class HandOffTarget(Record, frozen=True, kw_only=True):
    """Another specialty, and its agent, that a handoff may go to."""

    to: Specialty
    agent: str
    confidence: float = 0.0


class HandOff(Wire, frozen=True, kw_only=True, tag="turn.hand_off"):
    """Result: another specialty shall own the conversation and answer this turn.

    Several may be asked for at once: `others` besides `to`. One wins, by the conversation service's rule.
    """

    conversation: ConversationId
    turn: TurnId
    attempt: int
    hop: int
    specialty: Specialty
    """Who hands over."""
    to: Specialty
    agent: str
    reason: str
    summary: str
    confidence: float = 0.0
    others: list[HandOffTarget] = []
    timings: Timings = Timings()
    epoch: int = 0
    fleet_version: int = 0
    instance: str = ""


class Escalate(Wire, frozen=True, kw_only=True, tag="turn.escalate"):
    """Result: this needs a senior agent or a person."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    hop: int
    specialty: Specialty
    urgency: Urgency
    reason: str
    summary: str
    epoch: int = 0
    fleet_version: int = 0
    instance: str = ""


class TurnFailed(Wire, frozen=True, kw_only=True, tag="turn.failed"):
    """Result: the agent could not answer; `retryable` says whether another attempt makes sense."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    hop: int
    reason: str
    retryable: bool
    epoch: int = 0
    fleet_version: int = 0
    instance: str = ""


TurnResult: TypeAlias = Answered | Routed | HandOff | Escalate | TurnFailed
AgentMessage: TypeAlias = Answered | Routed | HandOff | Escalate | TurnFailed | TaskClaimed | AgentBeat


# -- consultation: specialist -> agent (core) ---


class ConsultProgress(Wire, frozen=True, kw_only=True, tag="consult.progress"):
    """The specialist works on it; resets the asker's timer."""

    consultation: str
    instance: Instance


class Advice(Wire, frozen=True, kw_only=True, tag="consult.advice"):
    """What the specialist says, with its sources."""

    consultation: str
    specialty: Specialty
    agent: str
    text: str
    citations: list[Citation] = []
    usage: Usage = Usage()
    work_ms: float = 0.0


class AdviceRefused(Wire, frozen=True, kw_only=True, tag="consult.refused"):
    """The specialist cannot help, and why: depth, itself, deadline, failure."""

    consultation: str
    reason: str


ConsultReply: TypeAlias = ConsultProgress | Advice | AdviceRefused


# -- towards the open socket (core) ---


class Delta(Wire, frozen=True, kw_only=True, tag="delta"):
    """A piece of an answer that is being written. Ephemeral: the commit is the truth."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    hop: int
    text: str
    replace: bool = False
    """The turn's text starts anew with this piece."""
    source: str = ""
    """The completion that wrote it: pieces of two completions never mix."""


class Attached(Wire, frozen=True, kw_only=True, tag="attached"):
    """An ingress holds this conversation's socket now: commits go there."""

    conversation: ConversationId
    ingress: Instance

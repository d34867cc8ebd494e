"""The work of a turn: the order to an agent, its results, and the pieces of text on their way to the socket.

Commands order (`AnswerTurn`), results report (`Answered`). Times are Unix seconds (UTC) in `*_at`, durations are
milliseconds in `*_ms`, money is US dollars.
"""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.accounting import ProviderAttempt, Timings, ToolUse, Usage
from trunkline_protocols.citations import Citation, Retrieved
from trunkline_protocols.consultation import Consult, Consultation
from trunkline_protocols.context import Context, Urgency
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, TurnRef
from trunkline_protocols.subjects import Lane
from trunkline_protocols.wire import Record, Wire


class AnswerTurn(Wire, frozen=True, kw_only=True, tag="turn.answer"):
    """Order: an agent of `specialty` answers this turn, with everything it needs to know."""

    ref: TurnRef
    specialty: Specialty
    agent: str
    """The agent that owns the conversation, or empty: the specialty chooses."""
    text: str
    context: Context
    reply_to: Instance
    """Conversation process that awaits the result."""
    ingress: Instance
    dispatched_at: float
    deadline_at: float
    lane: Lane = "normal"
    handed_off_from: str = ""
    urgency: Urgency = "normal"
    due_at: float = 0.0
    """When an escalation's SLA runs out, 0 for other work."""


WorkMessage: TypeAlias = AnswerTurn | Consult


class TaskClaimed(Wire, frozen=True, kw_only=True, tag="task.claimed"):
    """An agent process has taken a turn; from now on its beats are expected."""

    ref: TurnRef
    instance: Instance


class AgentBeat(Wire, frozen=True, kw_only=True, tag="agent.beat"):
    """An agent process lives and works on these turns."""

    instance: Instance
    turns: list[TurnId]


class Answered(Wire, frozen=True, kw_only=True, tag="turn.answered"):
    """Result: the text for the customer."""

    ref: TurnRef
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
    fleet_version: int = 0
    instance: str = ""
    attempts: list[ProviderAttempt] = []
    """Providers that had a part in the text, where it needed more than one."""
    tools: list[ToolUse] = []


class Routed(Wire, frozen=True, kw_only=True, tag="turn.routed"):
    """Result of triage: which specialty, and which of its agents, answers an unowned conversation."""

    ref: TurnRef
    to: Specialty
    agent: str
    confidence: float
    timings: Timings = Timings()
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

    ref: TurnRef
    specialty: Specialty
    """Who hands over."""
    to: Specialty
    agent: str
    reason: str
    summary: str
    confidence: float = 0.0
    others: list[HandOffTarget] = []
    model: str = ""
    """Who wrote the summary; empty: it is in the conversation's own words."""
    usage: Usage = Usage()
    timings: Timings = Timings()
    fleet_version: int = 0
    instance: str = ""
    tools: list[ToolUse] = []
    """What was called before it came to this."""


class Escalate(Wire, frozen=True, kw_only=True, tag="turn.escalate"):
    """Result: this needs a senior agent or a person."""

    ref: TurnRef
    specialty: Specialty
    urgency: Urgency
    reason: str
    summary: str
    fleet_version: int = 0
    instance: str = ""
    tools: list[ToolUse] = []
    """What was called before it came to this."""


class TurnFailed(Wire, frozen=True, kw_only=True, tag="turn.failed"):
    """Result: the agent could not answer; `retryable` says whether another attempt makes sense."""

    ref: TurnRef
    reason: str
    retryable: bool
    fleet_version: int = 0
    instance: str = ""
    cancelled: bool = False
    """The customer has ended the conversation: nobody waits for the answer any more."""


TurnResult: TypeAlias = Answered | Routed | HandOff | Escalate | TurnFailed


AgentMessage: TypeAlias = Answered | Routed | HandOff | Escalate | TurnFailed | TaskClaimed | AgentBeat


class Delta(Wire, frozen=True, kw_only=True, tag="delta"):
    """A piece of an answer that is being written. Ephemeral: the commit is the truth."""

    ref: TurnRef
    text: str
    replace: bool = False
    """The turn's text starts anew with this piece."""
    source: str = ""
    """The completion that wrote it: pieces of two completions never mix."""


class SocketAttached(Wire, frozen=True, kw_only=True, tag="attached"):
    """An ingress holds this conversation's socket now: commits go there."""

    conversation: ConversationId
    ingress: Instance

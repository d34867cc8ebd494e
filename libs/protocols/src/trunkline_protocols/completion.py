"""Messages of the LLM gateway (request and reply; deltas go straight to the ingress)."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from trunkline_protocols.accounting import ProviderAttempt, Usage
from trunkline_protocols.citations import Citation
from trunkline_protocols.context import Utterance
from trunkline_protocols.ids import Instance, TurnRef
from trunkline_protocols.knowledge import Passage, Refused
from trunkline_protocols.wire import Record, Wire

Purpose = Literal["answer", "summary"]


class DeltaTarget(Record, frozen=True, kw_only=True):
    """Where deltas of this completion go, and which try of the turn they belong to."""

    ref: TurnRef
    ingress: Instance
    source: str = ""
    """Goes into every delta: tells this completion from another try at the same work."""


class ToolSpec(Record, frozen=True, kw_only=True):
    """A tool that the model may ask for."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of its arguments: a map by nature."""


class ToolCall(Record, frozen=True, kw_only=True):
    """The model asks for a tool; `arguments` is JSON as the model wrote it, checked by whoever runs the tool."""

    id: str
    name: str
    arguments: str


class ToolOutcome(Record, frozen=True, kw_only=True):
    """What a tool answered to the call of the same id; a failure is an answer too."""

    id: str
    text: str
    failed: bool = False
    unknown: bool = False
    """Whether it was done is not known; a failure too."""
    ms: float = 0.0


class ToolStep(Record, frozen=True, kw_only=True):
    """One step of the work before this completion: what the model asked for, and what came of it."""

    calls: list[ToolCall]
    outcomes: list[ToolOutcome]
    text: str = ""


class AdviceNote(Record, frozen=True, kw_only=True):
    """What a consulted specialist advised: goes into the answer in its name."""

    specialty: str
    title: str
    """How the specialist is called towards the customer."""
    text: str
    citations: list[Citation] = []


class ToolStepNoted(Wire, frozen=True, kw_only=True, tag="tool.step"):
    """A step of a turn's tools, in KV TOOLS: noted before it is done, without outcomes, and again with them.

    Another try at the turn goes on from here: what was done is not done again.
    """

    step: ToolStep
    by: str
    """The try that noted it."""


class Complete(Wire, frozen=True, kw_only=True, tag="llm.complete"):
    """Order: write the answer to `question`, grounded in `passages`."""

    instructions: str
    """Who the agent is and how it speaks: the system prompt's own part."""
    question: str
    speaker: str = ""
    """Title and company of the agent, as it would name itself."""
    transcript: list[Utterance] = []
    summary: str = ""
    passages: list[Passage] = []
    advice: list[AdviceNote] = []
    notices: list[str] = []
    """Broadcasts in force that the customer has not been told in this conversation."""
    abstain: str = ""
    """What an honest agent says when the passages do not answer."""
    stream_to: DeltaTarget | None = None
    max_tokens: int = 512
    deadline_at: float = 0.0
    request_id: str = ""
    """The asker's own name for this order, by which it can be cancelled; empty: the source of its deltas."""
    region: str = ""
    """The conversation's region: its text goes to no provider that may not serve it."""
    tenant: str = ""
    """Whose budget this is paid from."""
    route: str = "default"
    provider: str = ""
    """Only this provider; empty: the route decides."""
    model: str = ""
    """Only this model; empty: the provider's first."""
    temperature: float | None = None
    """0 makes a completion repeatable, and lets equal ones be shared."""
    tools: list[ToolSpec] = []
    tool_steps: list[ToolStep] = []
    purpose: Purpose = "answer"
    """A summary is for colleagues: a model writes it, or it is refused; no quotation takes its place."""


class CancelCompletion(Wire, frozen=True, kw_only=True, tag="llm.cancel"):
    """Order to every gateway of a region: stop what is written for this request, or for this turn."""

    request_id: str = ""
    turn: str = ""
    reason: str = ""
    hop: int = 0
    attempt: int = 0
    """With a turn: only what tries before this one have ordered; 0 is the whole turn, also what it may still order."""


class Spent(Wire, frozen=True, kw_only=True, tag="llm.spent"):
    """What one gateway process has spent for a tenant on a day (UTC, counted from 1970); in KV SPENDING."""

    tenant: str
    day: int
    instance: str
    usd: float


class Completed(Wire, frozen=True, kw_only=True, tag="llm.completed"):
    """Reply to `Complete`: the whole text and what it rests on."""

    text: str
    provider: str
    model: str
    citations: list[Citation] = []
    abstained: bool = False
    usage: Usage = Usage()
    first_token_ms: float = 0.0
    model_ms: float = 0.0
    """The model's own time, as its provider reports it; for a remote provider the upstream's time."""
    stop_reason: str = ""
    """`stop`, `length`, `tool_calls` or the provider's own word."""
    tool_calls: list[ToolCall] = []
    attempts: list[ProviderAttempt] = []
    """Only where the first provider did not answer alone."""
    degraded: str = ""
    """Why the built-in provider answered in place of a model; empty when it did not."""


CompletionReply: TypeAlias = Completed | Refused

"""Messages of the LLM gateway: request and reply; deltas are published directly to the ingress."""

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
    """Destination of a completion's deltas, and the unit of work that they belong to."""

    ref: TurnRef
    ingress: Instance
    source: str = ""
    """Copied into every delta: distinguishes this completion from another attempt at the same work."""


class ToolSpec(Record, frozen=True, kw_only=True):
    """A tool that the model may call."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of the arguments."""


class ToolCall(Record, frozen=True, kw_only=True):
    """A tool call by the model; `arguments` is unvalidated JSON, checked by the process that runs the tool."""

    id: str
    name: str
    arguments: str


class ToolOutcome(Record, frozen=True, kw_only=True):
    """Result of the tool call with the same id; a failure is a result too."""

    id: str
    text: str
    failed: bool = False
    unknown: bool = False
    """If true, the call may have taken effect; implies `failed`."""
    ms: float = 0.0


class ToolStep(Record, frozen=True, kw_only=True):
    """One earlier step of the tool loop: the model's calls and their outcomes."""

    calls: list[ToolCall]
    outcomes: list[ToolOutcome]
    text: str = ""


class AdviceNote(Record, frozen=True, kw_only=True):
    """Advice of a consulted specialist, attributed in the answer."""

    title: str
    """Customer-facing title of the specialist."""
    text: str
    citations: list[Citation] = []


class ToolStepRecorded(Wire, frozen=True, kw_only=True, tag="tool.step"):
    """A tool step in KV TOOLS: recorded before execution without outcomes, and after it with them.

    A later attempt at the turn resumes from here, so that no executed call is repeated.
    """

    step: ToolStep
    by: str
    """The attempt that recorded it."""


class ToolCallsCounted(Wire, frozen=True, kw_only=True, tag="tool.calls"):
    """Calls of one tool for one customer on one day, in KV TOOL_CALLS; an idempotency key counts once."""

    keys: list[str]


class Complete(Wire, frozen=True, kw_only=True, tag="llm.complete"):
    """Request: answer the customer's `text`, grounded in `passages`."""

    instructions: str
    """Role and tone of the agent: its part of the system prompt."""
    text: str
    """The customer's message; for a consultation its question, for a summary the conversation."""
    speaker: str = ""
    """Title and company by which the agent introduces itself."""
    transcript: list[Utterance] = []
    summary: str = ""
    passages: list[Passage] = []
    advice: list[AdviceNote] = []
    notices: list[str] = []
    """Texts of active notices that this conversation does not contain yet."""
    abstain: str = ""
    """Reply to give if the passages do not answer."""
    stream_to: DeltaTarget | None = None
    max_tokens: int = 512
    deadline_at: float = 0.0
    request_id: str = ""
    """Id chosen by the caller, used for cancellation; default: the source of its deltas."""
    region: str = ""
    """The conversation's region; providers not allowed in it are skipped."""
    tenant: str = ""
    """Tenant whose budget is charged."""
    route: str = "default"
    provider: str = ""
    """Restrict to this provider; default: chosen by the route."""
    model: str = ""
    """Restrict to this model; default: the provider's first."""
    temperature: float | None = None
    """0 makes a completion deterministic, so that equal requests are coalesced."""
    tools: list[ToolSpec] = []
    tool_steps: list[ToolStep] = []
    purpose: Purpose = "answer"
    """A `summary` is for other agents: it is refused if no model is available, never replaced by an extract."""


class CancelCompletion(Wire, frozen=True, kw_only=True, tag="llm.cancel"):
    """Command to all gateways of a region: stop the completions of a request or of a turn."""

    request_id: str = ""
    turn: str = ""
    reason: str = ""
    hop: int = 0
    attempt: int = 0
    """If set, cancel only requests of earlier attempts at the turn; if 0, cancel the whole turn, later requests too."""


class Spent(Wire, frozen=True, kw_only=True, tag="llm.spent"):
    """Spending of one gateway process for a tenant on a day (UTC, days since 1970), in KV SPENDING."""

    tenant: str
    day: int
    instance: str
    usd: float


class Completed(Wire, frozen=True, kw_only=True, tag="llm.completed"):
    """Reply to `Complete`: the full text and its sources."""

    text: str
    provider: str
    model: str
    citations: list[Citation] = []
    abstained: bool = False
    usage: Usage = Usage()
    first_token_ms: float = 0.0
    model_ms: float = 0.0
    """The model's own time as reported by its provider; for a remote provider the upstream's time."""
    stop_reason: str = ""
    """`stop`, `length`, `tool_calls` or a value specific to the provider."""
    tool_calls: list[ToolCall] = []
    attempts: list[ProviderAttempt] = []
    """Filled only if more than one attempt was needed."""
    degraded: str = ""
    """Reason why the built-in provider answered instead of a model; empty if a model did."""


CompletionReply: TypeAlias = Completed | Refused

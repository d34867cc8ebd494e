"""Messages of the LLM gateway: request and reply; deltas are published directly to the ingress."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from trunkline_protocols.accounting import ProviderAttempt, Usage
from trunkline_protocols.citations import Citation
from trunkline_protocols.context import FactValue, Utterance
from trunkline_protocols.ids import Instance, TurnRef
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.refusal import Refused
from trunkline_protocols.tool_steps import ToolCall, ToolStep
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


class AdviceNote(Record, frozen=True, kw_only=True):
    """Advice of a consulted specialist, attributed in the answer."""

    title: str
    """Customer-facing title of the specialist."""
    text: str
    citations: list[Citation] = []


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
    parts: list[str] = []
    """The questions of a message that asks several; empty if it asks one."""
    corrected: str = ""
    """`text` with its typing mistakes corrected, for comparison with the passages; empty if there are none."""
    intent: str = ""
    """Recognised intent of the message; empty for an ordinary question."""
    advice: list[AdviceNote] = []
    facts: dict[str, FactValue] = {}
    """Facts about the customer: data, never instructions."""
    earlier: list[Utterance] = []
    """The last messages of the customer's previous conversation."""
    notices: list[str] = []
    """Texts of active notices that this conversation does not contain yet."""
    abstain: str = ""
    """Reply to give if the passages do not answer."""
    stream_to: DeltaTarget | None = None
    max_tokens: int = 512
    deadline_at: float = 0.0
    """Time by the requester's clock, for gateways that do not know `timeout_s`."""
    request_id: str = ""
    """Id chosen by the caller, used for cancellation; default: the source of its deltas."""
    region: str = ""
    """The conversation's region; providers not allowed in it are skipped."""
    tenant: str = ""
    """Tenant whose budget is charged."""
    locale: str = ""
    """The customer's locale, such as `de-AT`: whose forms of telephone and identity numbers are personal data."""
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
    timeout_s: float = 0.0
    """Seconds that the requester waits, which no clock of another host changes; 0: until `deadline_at`."""


class CancelCompletion(Wire, frozen=True, kw_only=True, tag="llm.cancel"):
    """Command to all gateways of a region: stop the completions of a request or of a turn."""

    request_id: str = ""
    turn: str = ""
    reason: str = ""
    hop: int = 0
    attempt: int = 0
    """If set, cancel only requests of earlier attempts at the turn; if 0, cancel the whole turn, later requests too."""


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
    """`stop`, `length` (the text is incomplete), `tool_calls`, or the provider's own word if it is unknown."""
    tool_calls: list[ToolCall] = []
    attempts: list[ProviderAttempt] = []
    """Filled only if more than one attempt was needed."""
    degraded: str = ""
    """Reason why the built-in provider answered instead of a model; empty if a model did."""


CompletionReply: TypeAlias = Completed | Refused

"""Usage, cost and time of a turn. Durations are milliseconds in `*_ms`, money is US dollars."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.texts import Text
from trunkline_protocols.wire import Record

ToolUseOutcome = Literal["done", "failed", "unknown"]
"""`unknown`: the call may or may not have taken effect, and is not retried."""


class Usage(Record, frozen=True, kw_only=True):
    """Tokens and cost of a completion."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    estimated: bool = False
    """If true, the provider did not report its tokens: they are estimated from the length of request and text."""


class ProviderAttempt(Record, frozen=True, kw_only=True):
    """One provider's contribution to a completion that needed several attempts."""

    provider: str
    model: str
    outcome: str
    """`answered`, `length` (continued by the next attempt), `stopped` (cancelled by the caller), or the error code."""
    characters: int = 0
    """Characters written; already streamed to the customer, then continued or replaced by the next attempt."""
    continued: bool = False
    """If true, it resumed the previous attempt's text instead of restarting."""
    cost: float = 0.0
    """US dollars; if the attempt failed, mostly an estimate from the characters of request and text."""
    ms: float = 0.0


class ToolUse(Record, frozen=True, kw_only=True):
    """One tool call of a turn and its outcome.

    Secrets and values that were bound to the customer are masked, long texts cut; the hashes are those of whole texts.
    """

    tool: str
    outcome: ToolUseOutcome
    arguments_sha256: Text
    """Hash of the arguments as the model wrote them: identifies equal calls without disclosing customer data."""
    key: str = ""
    """Idempotency key sent to the tool."""
    ms: float = 0.0
    arguments: Text = ""
    """Arguments of the call as JSON, those bound to the customer by the name of their source."""
    result: Text = ""
    """Beginning of the result, or of the reason for its absence."""
    result_sha256: Text = ""
    """Hash of the whole result as the model received it."""
    result_characters: int = 0
    """Length of the whole result."""


class Timings(Record, frozen=True, kw_only=True):
    """Time per stage of a turn's work, in milliseconds."""

    queued_ms: float = 0.0
    route_ms: float = 0.0
    search_ms: float = 0.0
    completion_ms: float = 0.0
    first_token_ms: float = 0.0
    model_ms: float = 0.0
    """The model's own time; total time less this is Trunkline's overhead."""
    context_ms: float = 0.0
    """Wait of the first turn for facts about the customer."""

"""Usage, cost and time of a turn. Durations are milliseconds in `*_ms`, money is US dollars."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.wire import Record

ToolUseOutcome = Literal["done", "failed", "unknown"]
"""`unknown`: it may have been done or not, and is not done again."""


class Usage(Record, frozen=True, kw_only=True):
    """What a completion used and cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


class ProviderAttempt(Record, frozen=True, kw_only=True):
    """One provider's part in a completion that needed more than one."""

    provider: str
    model: str
    outcome: str
    """`answered`, `stopped` (nobody waited for it any more), or the code of the failure."""
    characters: int = 0
    """So much of the text it wrote; shown to the customer, and continued or replaced by the next."""
    continued: bool = False
    """It went on where the one before had stopped, instead of beginning anew."""
    cost: float = 0.0
    """US dollars; of a try without an answer, an estimate by the characters of order and text."""
    ms: float = 0.0


class ToolUse(Record, frozen=True, kw_only=True):
    """One call of a tool while a turn was worked on, and what came of it; what was said stays with the tool."""

    tool: str
    outcome: ToolUseOutcome
    arguments_sha256: str
    """Of the arguments as the model wrote them: tells equal calls from others, and nothing of the customer."""
    key: str = ""
    """The idempotency key that the tool was given."""
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

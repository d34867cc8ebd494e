"""Parts that several messages share: citations, usage, timings, and what an agent must know.

Durations are milliseconds in `*_ms`, money is US dollars.
"""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.wire import Record

Role = Literal["customer", "agent", "person"]


Urgency = Literal["low", "normal", "high", "critical"]


ToolUseOutcome = Literal["done", "failed", "unknown"]
"""`unknown`: it may have been done or not, and is not done again."""


class TurnRef(Record, frozen=True, kw_only=True):
    """Identify one unit of work of a turn, so that a late result can be told from a current one."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    """1 at first, the next when the turn is dispatched again; results of an earlier attempt are dropped."""
    hop: int
    """Number of times this turn has changed its specialty."""
    epoch: int = 0
    """Number of times the conversation has changed its owner; results of an earlier epoch are dropped."""


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

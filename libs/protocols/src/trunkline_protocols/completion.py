"""Messages of the LLM gateway (request and reply; deltas go straight to the ingress)."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId, Instance, TurnId
from trunkline_protocols.knowledge import Passage, Refused
from trunkline_protocols.turn import Citation, Record, Usage, Utterance, Wire


class DeltaTarget(Record, frozen=True, kw_only=True):
    """Where deltas of this completion go, and which try of the turn they belong to."""

    conversation: ConversationId
    turn: TurnId
    attempt: int
    hop: int
    ingress: Instance
    source: str = ""
    """Goes into every delta: tells this completion from another try at the same work."""


class Complete(Wire, frozen=True, kw_only=True, tag="llm.complete"):
    """Order: write the answer to `question`, grounded in `passages`."""

    instructions: str
    """Who the agent is and how it speaks: the system prompt's own part."""
    question: str
    transcript: list[Utterance] = []
    summary: str = ""
    passages: list[Passage] = []
    abstain: str = ""
    """What an honest agent says when the passages do not answer."""
    stream_to: DeltaTarget | None = None
    max_tokens: int = 512
    deadline_at: float = 0.0


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


CompletionReply: TypeAlias = Completed | Refused

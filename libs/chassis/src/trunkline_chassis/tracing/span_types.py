"""Every span and every attribute: a span can carry nothing else, so that no text of a customer gets into a trace.

Names that begin with `gen_ai.`, `error.` and `messaging.` are those of OpenTelemetry's semantic conventions. The table
in docs/telemetry.md is generated from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """An attribute; only objects of this module are accepted by `Span.set`."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True, eq=False)
class SpanType:
    """A span by name; `named_after` is the attribute whose value follows the name, as in `chat gpt-5`."""

    name: str
    kind: Kind
    meaning: str
    attributes: tuple[Attribute, ...] = ()
    fixed: dict[str, str] = field(default_factory=dict)
    """Attributes with the same value in every span."""
    named_after: Attribute | None = None


CONVERSATION: Final = Attribute("gen_ai.conversation.id", "Id of the conversation")
AGENT: Final = Attribute("gen_ai.agent.name", "Name of the agent")
PROVIDER_KIND: Final = Attribute("gen_ai.provider.name", "Kind of the model provider, as in the configuration")
PROVIDER: Final = Attribute("trunkline.provider", "Name of the model provider in the configuration")
REQUEST_MODEL: Final = Attribute("gen_ai.request.model", "Model that was requested")
RESPONSE_MODEL: Final = Attribute("gen_ai.response.model", "Model that answered")
FINISH_REASON: Final = Attribute("gen_ai.response.finish_reasons", "Reason of the end of an answer, as a list of one")
INPUT_TOKENS: Final = Attribute("gen_ai.usage.input_tokens", "Tokens of the request")
OUTPUT_TOKENS: Final = Attribute("gen_ai.usage.output_tokens", "Tokens of the answer")
TOOL: Final = Attribute("gen_ai.tool.name", "Name of the tool; `unknown` if the model invented it")
ERROR: Final = Attribute("error.type", "Class of an exception or code of a refusal; the span has the status error")
TURN: Final = Attribute("trunkline.turn", "Id of the turn")
INBOX_SEQ: Final = Attribute("trunkline.inbox_seq", "Sequence of the customer's message in the inbox")
SPECIALTY: Final = Attribute("trunkline.specialty", "Specialty that gets the work")
ATTEMPT: Final = Attribute("trunkline.attempt", "Number of the attempt, from 1")
HOP: Final = Attribute("trunkline.hop", "Changes of the specialty within the turn")
EPOCH: Final = Attribute("trunkline.epoch", "Changes of the owner of the conversation")
LANE: Final = Attribute("trunkline.lane", "Lane of the work queue")
OUTCOME: Final = Attribute("trunkline.outcome", "What the span ended with")
COMMIT_KIND: Final = Attribute("trunkline.commit.kind", "Kind of the commit")
COMMIT_SEQ: Final = Attribute("trunkline.commit.seq", "Sequence of the commit in the log")
PASSAGES: Final = Attribute("trunkline.passages", "Number of passages that were found")
CONSULTATION: Final = Attribute("trunkline.consultation", "Id of the consultation")
QUEUED_MS: Final = Attribute("trunkline.queued_ms", "Time from the dispatch until the work began, in milliseconds")
FIRST_TOKEN_MS: Final = Attribute("trunkline.first_token_ms", "Time from the call to the first token, in milliseconds")

_NATS: Final = {"messaging.system": "nats"}
_STEP: Final = (TURN, SPECIALTY, AGENT, ATTEMPT, HOP, EPOCH)

ACCEPT_MESSAGE: Final = SpanType(
    "message.accept", "server", "An ingress accepts a message of a customer: the root of the trace", (CONVERSATION,)
)
APPEND_INBOX: Final = SpanType("inbox.append", "producer", "The append to the inbox", fixed=_NATS)
PROCESS_TURN: Final = SpanType(
    "turn.process",
    "consumer",
    "The conversation service answers a message; one span for every delivery",
    (CONVERSATION, TURN, INBOX_SEQ),
    _NATS,
)
DECIDE: Final = SpanType("turn.decide", "internal", "A decision about the next step of a turn", (TURN, OUTCOME))
DISPATCH: Final = SpanType(
    "turn.dispatch",
    "producer",
    "Work for an agent: from the queue until the signal that decides about the next step",
    (*_STEP, LANE, OUTCOME),
    _NATS,
)
COMMIT: Final = SpanType(
    "turn.commit", "producer", "The append to the log", (TURN, COMMIT_KIND, COMMIT_SEQ, EPOCH), _NATS
)
PROCESS_WORK: Final = SpanType(
    "work.process", "consumer", "An agents process claims work and reports its result", (TURN,), _NATS
)
INVOKE_AGENT: Final = SpanType(
    "invoke_agent",
    "internal",
    "An agent works on a turn or on a consultation",
    (CONVERSATION, *_STEP, CONSULTATION, QUEUED_MS, OUTCOME),
    {"gen_ai.operation.name": "invoke_agent"},
    SPECIALTY,
)
ROUTE: Final = SpanType("turn.route", "internal", "Analysis of the message and choice of the agent", (SPECIALTY, AGENT))
RETRIEVE: Final = SpanType("knowledge.search", "client", "Search for passages", (PASSAGES,))
ANALYSE: Final = SpanType("message.analyse", "client", "Vector and language of a message, with passages", (PASSAGES,))
EXECUTE_TOOL: Final = SpanType(
    "execute_tool",
    "internal",
    "A call of a tool",
    (TOOL, OUTCOME),
    {"gen_ai.operation.name": "execute_tool"},
    TOOL,
)
CONSULT: Final = SpanType(
    "consult", "client", "A consultation of a specialist", (SPECIALTY, AGENT, CONSULTATION, OUTCOME), _NATS, SPECIALTY
)
HAND_OFF: Final = SpanType("handoff", "internal", "The summary for the next owner", (SPECIALTY, AGENT), {}, SPECIALTY)
READ_CUSTOMER: Final = SpanType("customer.read", "server", "Facts about a customer are read")
SERVE_KNOWLEDGE: Final = SpanType("knowledge.request", "server", "The knowledge service handles a request")
REQUEST_COMPLETION: Final = SpanType("completion.request", "client", "An agent requests a completion", (ATTEMPT,))
SERVE_REQUEST: Final = SpanType("request", "server", "Any other request over NATS is handled")
COMPLETE: Final = SpanType("completion", "server", "A gateway completes a request")
CHAT: Final = SpanType(
    "chat",
    "client",
    "One provider's attempt at a completion",
    (
        PROVIDER_KIND,
        PROVIDER,
        REQUEST_MODEL,
        RESPONSE_MODEL,
        FINISH_REASON,
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        FIRST_TOKEN_MS,
    ),
    {"gen_ai.operation.name": "chat"},
    REQUEST_MODEL,
)

SPANS: Final = tuple(value for value in list(globals().values()) if isinstance(value, SpanType))
"""All types, in the order of a turn."""

ATTRIBUTES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Attribute))

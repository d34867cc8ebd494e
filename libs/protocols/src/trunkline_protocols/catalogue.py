"""Which message travels on which channel, from whom to whom: what docs/messages.md and docs/asyncapi.json are made of.

A message that joins one of the unions below is in the table at once. A channel carries the name of the function in
`subjects` that builds its address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from trunkline_protocols import streams
from trunkline_protocols.broadcast import NoticePublished, NoticeRecalled, NoticeReceipt
from trunkline_protocols.completion import Complete, CompletionReply
from trunkline_protocols.escalation import EscalationBreached, EscalationClaimed, EscalationWaiting
from trunkline_protocols.frames import ClientFrame, ServerFrame
from trunkline_protocols.knowledge import (
    Article,
    ArticlesImported,
    GetArticle,
    ImportArticles,
    PassagesFound,
    Refused,
    SearchKnowledge,
)
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.presence import DeadLetter, GetStatus, Presence, SuiteStatus
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.subjects import COMMIT_KINDS, LANES, Audience
from trunkline_protocols.turn import (
    AgentMessage,
    AnswerTurn,
    Attached,
    Consult,
    ConsultCancelled,
    ConsultReply,
    Delta,
    InboxMessage,
    Wire,
)

Carrier = Literal["stream", "core", "request", "bucket", "websocket"]
Party = Literal[
    "client", "ingress", "conversation", "agents", "rag", "llm_gateway", "audit", "supervisor", "every service"
]


@dataclass(frozen=True, slots=True)
class Flow:
    """Who says what to whom on a channel. A reply goes back to the asker's own NATS inbox."""

    senders: tuple[Party, ...]
    receivers: tuple[Party, ...]
    messages: tuple[type[Wire], ...]
    reply: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A subject, KV key or WebSocket; `{parameters}` are single tokens, `stored_in` names the stream or bucket."""

    name: str
    address: str
    carrier: Carrier
    flows: tuple[Flow, ...]
    stored_in: str = ""
    summary: str

    @property
    def messages(self) -> tuple[type[Wire], ...]:
        """All messages of the channel."""
        return tuple(message for flow in self.flows for message in flow.messages)


def _each(union: Any) -> tuple[type[Wire], ...]:  # noqa: ANN401 - a union is no type to mypy
    return get_args(union) or (union,)


PARAMETERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "region": ("Region whose conversations these are", ()),
    "partition": ("Partition of the conversation, 0 to 63, by CRC-32 of its id", ()),
    "conversation": ("Id of the conversation", ()),
    "kind": ("What kind of commit it is", COMMIT_KINDS),
    "specialty": ("Specialty that the work is for", ()),
    "lane": ("Urgency of the work", LANES),
    "audience": ("Whom a notice concerns", get_args(Audience)),
    "stream": ("Stream that the message came from", ()),
    "consumer": ("Consumer that could not handle it", ()),
    "ingress": ("Instance that holds the customer's socket", ()),
    "instance": ("Name of one process", ()),
}
"""What the parameters of addresses mean, and the values of those that have a closed set."""

CHANNELS: Final[tuple[Channel, ...]] = (
    Channel(
        name="chat",
        address="/v1/chat",
        carrier="websocket",
        summary="A customer's conversation, subprotocol trunkline.v1: one JSON object a text frame",
        flows=(
            Flow(("client",), ("ingress",), _each(ClientFrame)),
            Flow(("ingress",), ("client",), _each(ServerFrame)),
        ),
    ),
    Channel(
        name="inbox",
        address="inbox.{region}.{partition}.{conversation}",
        carrier="stream",
        stored_in=streams.INBOX.name,
        summary="What customers said; acknowledged to them once it is stored",
        flows=(Flow(("ingress",), ("conversation", "ingress", "audit"), _each(InboxMessage)),),
    ),
    Channel(
        name="work",
        address="work.{specialty}.{lane}",
        carrier="stream",
        stored_in=streams.WORK.name,
        summary="Turns that wait for an agent; losing them loses nothing",
        flows=(Flow(("conversation",), ("agents",), (AnswerTurn,)),),
    ),
    Channel(
        name="result",
        address="result.{instance}",
        carrier="core",
        summary="Results, claims and beats for the conversation process that waits",
        flows=(Flow(("agents",), ("conversation",), _each(AgentMessage)),),
    ),
    Channel(
        name="log",
        address="conv.{region}.{partition}.{conversation}.{kind}",
        carrier="stream",
        stored_in=streams.CONVERSATIONS.name,
        summary="The log of a conversation: commits of its one writer, fenced over all kinds",
        flows=(Flow(("conversation",), ("conversation", "ingress", "audit"), (Commit,)),),
    ),
    Channel(
        name="out",
        address="out.{ingress}.{conversation}",
        carrier="core",
        summary="Pieces of an answer, then its commit, for an open socket",
        flows=(
            Flow(("llm_gateway",), ("ingress",), (Delta,)),
            Flow(("conversation",), ("ingress",), (CommitStored,)),
        ),
    ),
    Channel(
        name="attach",
        address="attach.{region}.{partition}.{conversation}",
        carrier="core",
        summary="An ingress holds the conversation's socket now",
        flows=(Flow(("ingress",), ("conversation", "ingress"), (Attached,)),),
    ),
    Channel(
        name="search",
        address="rag.{region}.search",
        carrier="request",
        summary="Passages for a question",
        flows=(
            Flow(("agents", "ingress"), ("rag",), (SearchKnowledge,)),
            Flow(("rag",), ("agents", "ingress"), (PassagesFound, Refused), reply=True),
        ),
    ),
    Channel(
        name="article",
        address="rag.{region}.article",
        carrier="request",
        summary="One whole article",
        flows=(
            Flow(("ingress",), ("rag",), (GetArticle,)),
            Flow(("rag",), ("ingress",), (Article, Refused), reply=True),
        ),
    ),
    Channel(
        name="import_articles",
        address="rag.{region}.import",
        carrier="request",
        summary="Articles handed in",
        flows=(
            Flow(("ingress",), ("rag",), (ImportArticles,)),
            Flow(("rag",), ("ingress",), (ArticlesImported, Refused), reply=True),
        ),
    ),
    Channel(
        name="complete",
        address="llm.{region}.complete",
        carrier="request",
        summary="A text to be written; its deltas go straight to the socket's ingress",
        flows=(
            Flow(("agents",), ("llm_gateway",), (Complete,)),
            Flow(("llm_gateway",), ("agents",), _each(CompletionReply), reply=True),
        ),
    ),
    Channel(
        name="status",
        address="supervisor.{region}.status",
        carrier="request",
        summary="The supervision tree",
        flows=(
            Flow(("ingress",), ("supervisor",), (GetStatus,)),
            Flow(("supervisor",), ("ingress",), (SuiteStatus, Refused), reply=True),
        ),
    ),
    Channel(
        name="dead_letter",
        address="dead.{stream}.{consumer}",
        carrier="stream",
        stored_in=streams.DEAD_LETTERS.name,
        summary="Messages that could not be handled, kept to be read and replayed",
        flows=(Flow(("every service",), ("audit",), (DeadLetter,)),),
    ),
    Channel(
        name="presence",
        address="$KV.PRESENCE.{instance}",
        carrier="bucket",
        stored_in=streams.PRESENCE.name,
        summary="Heartbeats: which processes live, and how they are",
        flows=(Flow(("every service",), ("every service", "supervisor"), (Presence,)),),
    ),
    Channel(
        name="snapshot",
        address="$KV.SNAPSHOTS.{conversation}",
        carrier="bucket",
        stored_in=streams.SNAPSHOTS.name,
        summary="Folded conversations, a shortcut for the next owner",
        flows=(Flow(("conversation",), ("conversation",), (Snapshot,)),),
    ),
)

NOT_SENT_YET: Final[tuple[type[Wire], ...]] = (
    NoticePublished,
    NoticeRecalled,
    NoticeReceipt,
    Consult,
    ConsultCancelled,
    *_each(ConsultReply),
    EscalationWaiting,
    EscalationClaimed,
    EscalationBreached,
)
"""Defined, so that names are settled, and served by nobody."""

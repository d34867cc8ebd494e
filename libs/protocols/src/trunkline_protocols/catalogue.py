"""Which message travels on which channel, from whom to whom: what docs/messages.md and docs/asyncapi.json are made of.

A message that joins one of the unions below is in the table at once. A channel carries the name of the function in
`subjects` that builds its address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from trunkline_protocols import streams
from trunkline_protocols.broadcast import NoticeMessage, NoticeReceipt
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply, Spent, ToolStepNoted
from trunkline_protocols.consultation import Consult, ConsultCancelled, ConsultReply
from trunkline_protocols.desk import DeskMessage, DeskOutcome
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.fleet import FleetPublished
from trunkline_protocols.frames import ClientFrame, ServerFrame
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.knowledge import (
    Article,
    ArticlesImported,
    BackupList,
    BackupRestored,
    BackupTaken,
    GetArticle,
    ImportArticles,
    ListBackups,
    PassagesFound,
    Refused,
    RestoreBackup,
    SearchKnowledge,
    TakeBackup,
)
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.presence import DeadLetter, GetStatus, Presence, SuiteStatus
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.subjects import COMMIT_KINDS, LANES, Audience
from trunkline_protocols.turn import AgentMessage, AnswerTurn, Delta, SocketAttached
from trunkline_protocols.wire import Wire

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
    "notice": ("Id of a broadcast", ()),
    "day": ("Days since 1970, UTC", ()),
    "tenant": ("Whose customers these are", ()),
    "turn": ("Id of the turn", ()),
    "hop": ("Number of the piece of work within the turn", ()),
    "step": ("Number of the step within that", ()),
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
        name="desk",
        address="desk.{region}.{partition}.{conversation}",
        carrier="stream",
        stored_in=streams.INBOX.name,
        summary="What people at the desk order: claim, reply, hand back, close",
        flows=(
            Flow(("ingress",), ("conversation", "audit"), _each(DeskMessage)),
            Flow(("conversation",), ("ingress",), (DeskOutcome,), reply=True),
        ),
    ),
    Channel(
        name="work",
        address="work.{specialty}.{lane}",
        carrier="stream",
        stored_in=streams.WORK.name,
        summary="Turns that wait for an agent; losing them loses nothing",
        flows=(
            Flow(("conversation",), ("agents",), (AnswerTurn,)),
            Flow(("agents",), ("agents",), (Consult,)),
        ),
    ),
    Channel(
        name="advice",
        address="advice.{instance}",
        carrier="core",
        summary="A specialist's progress, advice or refusal, for the process that asked",
        flows=(Flow(("agents",), ("agents",), _each(ConsultReply)),),
    ),
    Channel(
        name="consult_cancelled",
        address="consult.{specialty}.cancelled",
        carrier="core",
        summary="Nobody waits for an advice any more",
        flows=(Flow(("agents",), ("agents",), (ConsultCancelled,)),),
    ),
    Channel(
        name="notice",
        address="notice.{region}.{audience}",
        carrier="stream",
        stored_in=streams.NOTICES.name,
        summary="Broadcasts and their recall; each expires by itself",
        flows=(Flow(("ingress",), ("every service", "audit"), _each(NoticeMessage)),),
    ),
    Channel(
        name="receipt",
        address="receipt.{region}.{notice}.{instance}",
        carrier="stream",
        stored_in=streams.NOTICES.name,
        summary="Who has taken a broadcast into account",
        flows=(Flow(("every service",), ("ingress", "audit"), (NoticeReceipt,)),),
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
        flows=(Flow(("ingress",), ("conversation", "ingress"), (SocketAttached,)),),
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
        name="backups",
        address="rag.{region}.backups",
        carrier="request",
        summary="BackupList of the knowledge base: taken, restored, listed",
        flows=(
            Flow(("ingress",), ("rag",), (TakeBackup, RestoreBackup, ListBackups)),
            Flow(("rag",), ("ingress",), (BackupTaken, BackupRestored, BackupList, Refused), reply=True),
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
        name="cancel_completion",
        address="llm.{region}.cancel",
        carrier="core",
        summary="Nobody waits for a completion any more: every gateway stops it",
        flows=(Flow(("agents", "ingress"), ("llm_gateway",), (CancelCompletion,)),),
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
    Channel(
        name="waiting",
        address="$KV.DESK.{conversation}",
        carrier="bucket",
        stored_in=streams.DESK.name,
        summary="Escalations that wait for a person or are with one; an empty value: no longer",
        flows=(Flow(("conversation",), ("conversation", "ingress"), (EscalationWaiting,)),),
    ),
    Channel(
        name="fleet",
        address="$KV.FLEET.fleet",
        carrier="bucket",
        stored_in=streams.FLEET.name,
        summary="The fleet in force; the key's revisions are its versions",
        flows=(
            Flow(("ingress", "supervisor"), ("ingress", "conversation", "agents", "supervisor"), (FleetPublished,)),
        ),
    ),
    Channel(
        name="tool_step",
        address="$KV.TOOLS.{turn}.{hop}.{step}",
        carrier="bucket",
        stored_in=streams.TOOLS.name,
        summary="What a turn's tools have done; another try at the turn goes on from there",
        flows=(Flow(("agents",), ("agents",), (ToolStepNoted,)),),
    ),
    Channel(
        name="spending",
        address="$KV.SPENDING.{day}.{tenant}.{instance}",
        carrier="bucket",
        stored_in=streams.SPENDING.name,
        summary="What each gateway has spent for a tenant today",
        flows=(Flow(("llm_gateway",), ("llm_gateway",), (Spent,)),),
    ),
)

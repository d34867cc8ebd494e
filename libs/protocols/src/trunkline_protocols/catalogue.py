"""Catalogue of channels and their messages, the source of docs/messages.md and docs/asyncapi.json.

Messages are taken from the unions of the other modules, so a new member appears here automatically. A channel has the
name of the function in `subjects` that builds its address.
"""

from __future__ import annotations

from typing import Any, Final, get_args

from trunkline_protocols import streams
from trunkline_protocols.audit_channels import AUDIT_CHANNELS
from trunkline_protocols.broadcast import NoticeMessage, NoticeReceipt
from trunkline_protocols.channels import Channel, Flow, Party
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply
from trunkline_protocols.consultation import Consult, ConsultCancelled, ConsultReply
from trunkline_protocols.customer_keys import CustomerErased, CustomerKey
from trunkline_protocols.customers import CustomerKnown, ReadCustomer
from trunkline_protocols.dead_letter import DeadLetter
from trunkline_protocols.desk import DeskMessage, DeskOutcome
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.fleet import FleetPublished
from trunkline_protocols.frames import ClientFrame, ServerFrame
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.knowledge import (
    AnalyseMessage,
    Article,
    ArticlesImported,
    BackupList,
    BackupRestored,
    BackupTaken,
    GetArticle,
    ImportArticles,
    ListBackups,
    MessageAnalysed,
    PassagesFound,
    RestoreBackup,
    SearchKnowledge,
    TakeBackup,
)
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.presence import GetStatus, Presence, SuiteStatus
from trunkline_protocols.refusal import Refused
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.spending import Spent
from trunkline_protocols.tool_steps import ToolCallsCounted, ToolStepRecorded
from trunkline_protocols.turn import AgentMessage, AnswerTurn, Delta, SocketAttached
from trunkline_protocols.wire import Wire

_FLEET_READERS: Final[tuple[Party, ...]] = ("ingress", "conversation", "agents", "rag", "supervisor")


def _each(union: Any) -> tuple[type[Wire], ...]:  # noqa: ANN401 - a union is no type to mypy
    return get_args(union) or (union,)


CHANNELS: Final[tuple[Channel, ...]] = (
    Channel(
        name="chat",
        address="/v1/chat",
        carrier="websocket",
        summary="A customer's conversation, subprotocol trunkline.v1: one JSON object per text frame",
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
        summary="Customer messages; accepted once they are stored",
        flows=(Flow(("ingress",), ("conversation", "ingress", "audit"), _each(InboxMessage)),),
    ),
    Channel(
        name="desk",
        address="desk.{region}.{partition}.{conversation}",
        carrier="stream",
        stored_in=streams.INBOX.name,
        summary="Commands of people at the desk: claim, reply, hand back, note, close",
        flows=(
            Flow(("ingress",), ("conversation", "audit"), _each(DeskMessage)),
            Flow(("conversation",), ("ingress",), (DeskOutcome,), reply=True),
        ),
    ),
    *AUDIT_CHANNELS,
    Channel(
        name="work",
        address="work.{specialty}.{lane}",
        carrier="stream",
        stored_in=streams.WORK.name,
        summary="Turns waiting for an agent; can be lost without harm",
        flows=(
            Flow(("conversation",), ("agents",), (AnswerTurn,)),
            Flow(("agents",), ("agents",), (Consult,)),
        ),
    ),
    Channel(
        name="work_of_release",
        address="work.{specialty}.{lane}.{colour}",
        carrier="stream",
        stored_in=streams.WORK.name,
        summary="Turns of conversations with a colour, for the agents of that release",
        flows=(
            Flow(("conversation",), ("agents",), (AnswerTurn,)),
            Flow(("agents",), ("agents",), (Consult,)),
        ),
    ),
    Channel(
        name="advice",
        address="advice.{instance}",
        carrier="core",
        summary="Progress, advice or refusal of a specialist, for the requesting process",
        flows=(Flow(("agents",), ("agents",), _each(ConsultReply)),),
    ),
    Channel(
        name="consult_cancelled",
        address="consult.{specialty}.cancelled",
        carrier="core",
        summary="Cancellation of a consultation",
        flows=(Flow(("agents",), ("agents",), (ConsultCancelled,)),),
    ),
    Channel(
        name="notice",
        address="notice.{region}.{audience}",
        carrier="stream",
        stored_in=streams.NOTICES.name,
        summary="Notices and their recalls; each expires by its TTL",
        flows=(Flow(("ingress",), ("every service", "audit"), _each(NoticeMessage)),),
    ),
    Channel(
        name="receipt",
        address="receipt.{region}.{notice}.{instance}",
        carrier="stream",
        stored_in=streams.NOTICES.name,
        summary="Acknowledgements of notices by processes",
        flows=(Flow(("every service",), ("ingress", "audit"), (NoticeReceipt,)),),
    ),
    Channel(
        name="result",
        address="result.{instance}",
        carrier="core",
        summary="Results, claims and heartbeats for the conversation process of the turn",
        flows=(Flow(("agents",), ("conversation",), _each(AgentMessage)),),
    ),
    Channel(
        name="log",
        address="conv.{region}.{partition}.{conversation}.{kind}",
        carrier="stream",
        stored_in=streams.CONVERSATIONS.name,
        summary="Log of a conversation: commits of its single writer, fenced over all kinds",
        flows=(Flow(("conversation",), ("conversation", "ingress", "audit"), (Commit,)),),
    ),
    Channel(
        name="out",
        address="out.{ingress}.{conversation}",
        carrier="core",
        summary="Streamed pieces of an answer, then its commit, for an open socket",
        flows=(
            Flow(("llm_gateway",), ("ingress",), (Delta,)),
            Flow(("conversation",), ("ingress",), (CommitStored,)),
        ),
    ),
    Channel(
        name="attach",
        address="attach.{region}.{partition}.{conversation}",
        carrier="core",
        summary="Announcement of the ingress that holds the conversation's socket",
        flows=(Flow(("ingress",), ("conversation", "ingress"), (SocketAttached,)),),
    ),
    Channel(
        name="search",
        address="rag.{region}.search",
        carrier="request",
        summary="Search for passages",
        flows=(
            Flow(("agents", "ingress"), ("rag",), (SearchKnowledge,)),
            Flow(("rag",), ("agents", "ingress"), (PassagesFound, Refused), reply=True),
        ),
    ),
    Channel(
        name="analyse",
        address="rag.{region}.analyse",
        carrier="request",
        summary="Vector and language of a customer's message",
        flows=(
            Flow(("agents",), ("rag",), (AnalyseMessage,)),
            Flow(("rag",), ("agents",), (MessageAnalysed, Refused), reply=True),
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
        summary="Import of articles",
        flows=(
            Flow(("ingress",), ("rag",), (ImportArticles,)),
            Flow(("rag",), ("ingress",), (ArticlesImported, Refused), reply=True),
        ),
    ),
    Channel(
        name="backups",
        address="rag.{region}.backups",
        carrier="request",
        summary="Backups of the knowledge base: take, restore, list",
        flows=(
            Flow(("ingress",), ("rag",), (TakeBackup, RestoreBackup, ListBackups)),
            Flow(("rag",), ("ingress",), (BackupTaken, BackupRestored, BackupList, Refused), reply=True),
        ),
    ),
    Channel(
        name="complete",
        address="llm.{region}.complete",
        carrier="request",
        summary="Completion; its deltas are published directly to the ingress",
        flows=(
            Flow(("agents",), ("llm_gateway",), (Complete,)),
            Flow(("llm_gateway",), ("agents",), _each(CompletionReply), reply=True),
        ),
    ),
    Channel(
        name="cancel_completion",
        address="llm.{region}.cancel",
        carrier="core",
        summary="Cancellation of completions, received by every gateway",
        flows=(Flow(("agents", "ingress"), ("llm_gateway",), (CancelCompletion,)),),
    ),
    Channel(
        name="read_customer",
        address="customer.{region}.read",
        carrier="request",
        summary="Reading of the facts about a customer that are due",
        flows=(
            Flow(("conversation",), ("agents",), (ReadCustomer,)),
            Flow(("agents",), ("conversation",), (CustomerKnown, Refused), reply=True),
        ),
    ),
    Channel(
        name="customer",
        address="$KV.CUSTOMERS.{tenant}.{customer}",
        carrier="bucket",
        stored_in=streams.CUSTOMERS.name,
        summary="Known data about a customer: facts, claims, the end of the last conversation; empty: forgotten",
        flows=(Flow(("agents", "conversation", "ingress"), ("agents", "conversation", "ingress"), (CustomerKnown,)),),
    ),
    Channel(
        name="customer_key",
        address="$KV.CUSTOMER_KEYS.{tenant}.{customer}",
        carrier="bucket",
        stored_in=streams.CUSTOMER_KEYS.name,
        summary="Key of a customer's texts, encrypted by the wrapping key; without it, all of them are unreadable",
        flows=(Flow(("agents", "ingress"), ("agents", "conversation", "ingress"), (CustomerKey,)),),
    ),
    Channel(
        name="erasure",
        address="erasure.{region}.{customer}.{fingerprint}",
        carrier="stream",
        stored_in=streams.ERASURES.name,
        summary="Destroyed keys of customers; stored before the key is destroyed, and never removed",
        flows=(Flow(("ingress",), ("agents", "conversation", "ingress", "audit"), (CustomerErased,)),),
    ),
    Channel(
        name="status",
        address="supervisor.{region}.{instance}.status",
        carrier="request",
        summary="Status of the processes of a node",
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
        summary="Messages that could not be handled, kept for inspection and replay",
        flows=(Flow(("every service",), ("audit",), (DeadLetter,)),),
    ),
    Channel(
        name="presence",
        address="$KV.PRESENCE.{service}.{instance}",
        carrier="bucket",
        stored_in=streams.PRESENCE.name,
        summary="Heartbeats of processes with their status",
        flows=(Flow(("every service", "supervisor"), ("conversation", "ingress", "supervisor"), (Presence,)),),
    ),
    Channel(
        name="snapshot",
        address="$KV.SNAPSHOTS.{conversation}",
        carrier="bucket",
        stored_in=streams.SNAPSHOTS.name,
        summary="Snapshots of folded conversations, which speed up loading",
        flows=(Flow(("conversation",), ("conversation",), (Snapshot,)),),
    ),
    Channel(
        name="waiting",
        address="$KV.DESK.{conversation}",
        carrier="bucket",
        stored_in=streams.DESK.name,
        summary="Escalations waiting for or assigned to a person; an empty value ends the entry",
        flows=(Flow(("conversation",), ("conversation", "ingress"), (EscalationWaiting,)),),
    ),
    Channel(
        name="fleet",
        address="$KV.FLEET.fleet",
        carrier="bucket",
        stored_in=streams.FLEET.name,
        summary="The active fleet; the key's revisions are its versions",
        flows=(Flow(("ingress", "supervisor"), _FLEET_READERS, (FleetPublished,)),),
    ),
    Channel(
        name="fleet_candidate",
        address="$KV.FLEET.candidate",
        carrier="bucket",
        stored_in=streams.FLEET.name,
        summary="The version that is rolled out by shares",
        flows=(Flow(("ingress",), _FLEET_READERS, (FleetPublished,)),),
    ),
    Channel(
        name="fleet_rollout",
        address="$KV.FLEET.rollout",
        carrier="bucket",
        stored_in=streams.FLEET.name,
        summary="State of the last roll-out: both versions, the share, and all decisions",
        flows=(Flow(("ingress",), _FLEET_READERS, (FleetRollout,)),),
    ),
    Channel(
        name="release_rollout",
        address="$KV.FLEET.release",
        carrier="bucket",
        stored_in=streams.FLEET.name,
        summary="The served release's colour, and the state of the last roll-out of a release",
        flows=(Flow(("ingress",), ("ingress", "conversation", "agents"), (ReleaseRollout,)),),
    ),
    Channel(
        name="tool_step",
        address="$KV.TOOLS.{turn}.{hop}.{step}",
        carrier="bucket",
        stored_in=streams.TOOLS.name,
        summary="Tool steps of a turn; a later attempt resumes from them",
        flows=(Flow(("agents",), ("agents",), (ToolStepRecorded,)),),
    ),
    Channel(
        name="tool_calls",
        address="$KV.TOOL_CALLS.{day}.{customer}.{tool}",
        carrier="bucket",
        stored_in=streams.TOOL_CALLS.name,
        summary="Calls per tool, customer and day; a call beyond the tool's limit is refused",
        flows=(Flow(("agents",), ("agents",), (ToolCallsCounted,)),),
    ),
    Channel(
        name="spending",
        address="$KV.SPENDING.{day}.{tenant}.{instance}",
        carrier="bucket",
        stored_in=streams.SPENDING.name,
        summary="Spending per gateway process, tenant and day",
        flows=(Flow(("llm_gateway",), ("llm_gateway",), (Spent,)),),
    ),
)

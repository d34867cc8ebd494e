"""Codecs for tagged JSON messages, readable with the NATS CLI.

Decoders are created once; each accepts the closed set of messages that may arrive on its channel. Every decoding in the
project goes through `trunkline_protocols.decoding`, which knows all the ways in which it can fail.
"""

from __future__ import annotations

from typing import Final

from trunkline_protocols.archives import (
    ArchiveReply,
    ListConversations,
    ListReply,
    ProofReply,
    ProveRecords,
    ReadArchived,
)
from trunkline_protocols.broadcast import NoticesMessage
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply
from trunkline_protocols.consultation import ConsultCancelled, ConsultReply
from trunkline_protocols.customer_keys import CustomerErased, CustomerKey
from trunkline_protocols.customers import CustomerKnown, ReadCustomer
from trunkline_protocols.dead_letter import DeadLetter
from trunkline_protocols.decoding import (
    DecodeError,
    Decoder,
    ValidationError,
    convert,
    decode,
    decode_text,
    decode_toml,
    encode,
    read_malformed,
)
from trunkline_protocols.desk import DeskMessage, DeskOutcome, SlotMessage
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.fleet import FleetPublished
from trunkline_protocols.frames import ClientFrame, ServerFrame
from trunkline_protocols.heads import HeadSigned
from trunkline_protocols.holds import HoldMessage
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.knowledge import KnowledgeReply, KnowledgeRequest
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.presence import Presence, SuiteStatus
from trunkline_protocols.refusal import Refused
from trunkline_protocols.residency import ResidencyViolated
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.spending import Spent
from trunkline_protocols.tool_steps import ToolCallsCounted, ToolStepRecorded
from trunkline_protocols.turn import AgentMessage, Delta, SocketAttached, WorkMessage
from trunkline_protocols.views import ConversationViewed

__all__ = [
    "DecodeError",
    "Decoder",
    "ValidationError",
    "convert",
    "decode",
    "decode_text",
    "decode_toml",
    "encode",
    "read_malformed",
]

inbox: Final[Decoder[InboxMessage]] = Decoder(InboxMessage)
desk: Final[Decoder[DeskMessage]] = Decoder(DeskMessage)
slot: Final[Decoder[SlotMessage]] = Decoder(SlotMessage)
desk_outcome: Final[Decoder[DeskOutcome]] = Decoder(DeskOutcome)
hold: Final[Decoder[HoldMessage]] = Decoder(HoldMessage)
violation: Final[Decoder[ResidencyViolated]] = Decoder(ResidencyViolated)
viewed: Final[Decoder[ConversationViewed]] = Decoder(ConversationViewed)
head: Final[Decoder[HeadSigned]] = Decoder(HeadSigned)
read_archived: Final[Decoder[ReadArchived]] = Decoder(ReadArchived)
list_conversations: Final[Decoder[ListConversations]] = Decoder(ListConversations)
list_reply: Final[Decoder[ListReply]] = Decoder(ListReply)
prove_records: Final[Decoder[ProveRecords]] = Decoder(ProveRecords)
proof_reply: Final[Decoder[ProofReply]] = Decoder(ProofReply)
archive_reply: Final[Decoder[ArchiveReply]] = Decoder(ArchiveReply)
waiting: Final[Decoder[EscalationWaiting]] = Decoder(EscalationWaiting)
fleet: Final[Decoder[FleetPublished]] = Decoder(FleetPublished)
rollout: Final[Decoder[FleetRollout]] = Decoder(FleetRollout)
release: Final[Decoder[ReleaseRollout]] = Decoder(ReleaseRollout)
work: Final[Decoder[WorkMessage]] = Decoder(WorkMessage)
result: Final[Decoder[AgentMessage]] = Decoder(AgentMessage)
consult_cancelled: Final[Decoder[ConsultCancelled]] = Decoder(ConsultCancelled)
consult_reply: Final[Decoder[ConsultReply]] = Decoder(ConsultReply)
out: Final[Decoder[Delta | CommitStored]] = Decoder(Delta | CommitStored)
attached: Final[Decoder[SocketAttached]] = Decoder(SocketAttached)
commit: Final[Decoder[Commit]] = Decoder(Commit)
notice: Final[Decoder[NoticesMessage]] = Decoder(NoticesMessage)
snapshot: Final[Decoder[Snapshot]] = Decoder(Snapshot)
presence: Final[Decoder[Presence]] = Decoder(Presence)
dead_letter: Final[Decoder[DeadLetter]] = Decoder(DeadLetter)
knowledge_request: Final[Decoder[KnowledgeRequest]] = Decoder(KnowledgeRequest)
knowledge_reply: Final[Decoder[KnowledgeReply]] = Decoder(KnowledgeReply)
complete: Final[Decoder[Complete]] = Decoder(Complete)
cancel_completion: Final[Decoder[CancelCompletion]] = Decoder(CancelCompletion)
tool_step: Final[Decoder[ToolStepRecorded]] = Decoder(ToolStepRecorded)
tool_calls: Final[Decoder[ToolCallsCounted]] = Decoder(ToolCallsCounted)
spent: Final[Decoder[Spent]] = Decoder(Spent)
completion_reply: Final[Decoder[CompletionReply]] = Decoder(CompletionReply)
suite_status: Final[Decoder[SuiteStatus]] = Decoder(SuiteStatus)
client_frame: Final[Decoder[ClientFrame]] = Decoder(ClientFrame)
server_frame: Final[Decoder[ServerFrame]] = Decoder(ServerFrame)
customer_known: Final[Decoder[CustomerKnown]] = Decoder(CustomerKnown)
customer_key: Final[Decoder[CustomerKey]] = Decoder(CustomerKey)
customer_erased: Final[Decoder[CustomerErased]] = Decoder(CustomerErased)
customer_request: Final[Decoder[ReadCustomer]] = Decoder(ReadCustomer)
customer_reply: Final[Decoder[CustomerKnown | Refused]] = Decoder(CustomerKnown | Refused)

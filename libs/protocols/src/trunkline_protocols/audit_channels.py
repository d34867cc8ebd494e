"""Channels of the audit trail: records of what operators and processes did, and requests for records."""

from __future__ import annotations

from typing import Final

from trunkline_protocols import archives, streams
from trunkline_protocols.channels import Channel, Flow
from trunkline_protocols.heads import HeadSigned
from trunkline_protocols.holds import HoldPlaced, HoldReleased
from trunkline_protocols.refusal import Refused
from trunkline_protocols.residency import ResidencyViolated
from trunkline_protocols.views import ConversationViewed

AUDIT_CHANNELS: Final[tuple[Channel, ...]] = (
    Channel(
        name="view",
        address="view.{region}.{partition}.{conversation}",
        carrier="stream",
        stored_in=streams.VIEWS.name,
        summary="Operators who read a conversation; its texts are shown once this is stored",
        flows=(Flow(("ingress",), ("ingress", "audit"), (ConversationViewed,)),),
    ),
    Channel(
        name="hold",
        address="hold.{region}.{hold}",
        carrier="stream",
        stored_in=streams.HOLDS.name,
        summary="Legal holds and their releases",
        flows=(Flow(("ingress",), ("ingress", "audit"), (HoldPlaced, HoldReleased)),),
    ),
    Channel(
        name="violation",
        address="violation.{region}.{border}",
        carrier="stream",
        stored_in=streams.VIOLATIONS.name,
        summary="Passages of data between regions that a process refused",
        flows=(Flow(("every service", "supervisor"), ("audit",), (ResidencyViolated,)),),
    ),
    Channel(
        name="head",
        address="head.{region}",
        carrier="stream",
        stored_in=streams.HEADS.name,
        summary="Signed heads of the tree of records, at most one a second; `trunkline audit verify` compares them",
        flows=(Flow(("audit",), ("audit",), (HeadSigned,)),),
    ),
    Channel(
        name="read_archive",
        address="archive.{region}.read",
        carrier="request",
        summary="The records of an archived conversation",
        flows=(
            Flow(("ingress",), ("audit",), (archives.ReadArchived,)),
            Flow(("audit",), ("ingress",), (archives.ArchivedRecords, Refused), reply=True),
        ),
    ),
    Channel(
        name="list_conversations",
        address="archive.{region}.list",
        carrier="request",
        summary="The conversations of a customer",
        flows=(
            Flow(("ingress",), ("audit",), (archives.ListConversations,)),
            Flow(("audit",), ("ingress",), (archives.ConversationsListed, Refused), reply=True),
        ),
    ),
    Channel(
        name="prove_records",
        address="archive.{region}.prove",
        carrier="request",
        summary="Proofs that the records of a conversation are in the tree of records",
        flows=(
            Flow(("ingress",), ("audit",), (archives.ProveRecords,)),
            Flow(("audit",), ("ingress",), (archives.RecordsProven, Refused), reply=True),
        ),
    ),
)

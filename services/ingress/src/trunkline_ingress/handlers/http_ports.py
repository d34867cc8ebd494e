"""Collaborators of the HTTP endpoints, as the wiring passes them on."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_chassis.customer_keys import CustomerKeys

from trunkline_ingress.application.review_index import ReviewIndex
from trunkline_ingress.operator_ports import (
    CommitFeed,
    ConversationArchive,
    CustomerIndex,
    CustomerRecords,
    Desk,
    Erasures,
    FleetStore,
    HoldStore,
    KnowledgeService,
    NoticeStore,
    RecordProofs,
    ReleaseStore,
    RolloutStore,
    SuiteStatusSource,
    ViewRecords,
)
from trunkline_ingress.ports import (
    ConversationLog,
    CurrentFleet,
    EscalationView,
    InboxHistory,
    LiveProcesses,
    NoticeView,
    StoredCustomers,
    StoredTextReader,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPorts:
    """Collaborators of the pages and of the operators' API."""

    inbox: InboxHistory
    log: ConversationLog
    review: ReviewIndex
    knowledge: KnowledgeService
    fleet: CurrentFleet
    fleet_store: FleetStore
    rollouts: RolloutStore
    releases: ReleaseStore
    commits: CommitFeed
    notices: NoticeView
    notice_store: NoticeStore
    processes: LiveProcesses
    suite: SuiteStatusSource
    desk: Desk
    escalations: EscalationView
    customers: StoredCustomers
    views: ViewRecords
    texts: StoredTextReader
    keys: CustomerKeys | None
    """None without a key file."""
    erasures: Erasures
    customer_records: CustomerRecords
    customer_index: CustomerIndex
    holds: HoldStore
    archive: ConversationArchive
    proofs: RecordProofs

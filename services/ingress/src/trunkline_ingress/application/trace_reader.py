"""Trace of a conversation: all of its records, with the proof that they are those of the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from trunkline_chassis.errors import BusError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import CommitStored
from trunkline_protocols.streams import CONVERSATIONS, INBOX, VIEWS

from trunkline_ingress.application.record_border import admits_records
from trunkline_ingress.core.archived import ArchivedConversation, is_trimmed
from trunkline_ingress.core.operators import Operator
from trunkline_ingress.core.trace import (
    InboxEntry,
    ProvenRecords,
    RecordKey,
    Trace,
    ViewEntry,
    build_trace,
    no_proof,
    proof_of,
    with_proof,
)
from trunkline_ingress.operator_ports import ConversationArchive, RecordProofs, ViewRecords
from trunkline_ingress.ports import ConversationLog, InboxHistory

_SHOWN: Final = frozenset({INBOX.name, CONVERSATIONS.name, VIEWS.name})
"""Streams whose records are steps of a trace; audit has dead letters of a conversation too."""

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Records:
    """Everything that is stored of a conversation."""

    entries: Sequence[InboxEntry]
    commits: Sequence[CommitStored]
    views: Sequence[ViewEntry] = ()
    archived: ArchivedConversation = field(default_factory=ArchivedConversation)

    @property
    def keys(self) -> list[RecordKey]:
        """Places of the records in their streams: each is a step of the trace, or several."""
        places = ((INBOX, self.entries), (CONVERSATIONS, self.commits), (VIEWS, self.views))
        return [RecordKey(stream.name, each.sequence) for stream, found in places for each in found]

    def with_archived(self, archived: ArchivedConversation) -> _Records:
        """Return the records with those that the streams no longer have."""
        return _Records(
            archived.messages(self.entries), archived.commits(self.commits), archived.all_views(self.views), archived
        )


@dataclass(frozen=True, slots=True)
class TraceReader:
    """Reads the streams of a conversation, what they no longer have from the archive, and the proofs."""

    inbox: InboxHistory
    log: ConversationLog
    archive: ConversationArchive
    views: ViewRecords
    proofs: RecordProofs
    borders: BorderGuard

    @property
    def region(self) -> str:
        """Region of the suite, whose conversations are shown."""
        return self.borders.region

    async def read(self, conversation: ConversationId, operator: Operator) -> Trace | None:
        """Return the trace, which has the view of the operator itself; None if there is no such conversation.

        Without the audit service, the trace has no proof.
        """
        messages = await self.inbox.messages(self.region, conversation)
        commands = await self.inbox.desk_commands(self.region, conversation)
        commits = await self.log.commits(self.region, conversation, after=0)
        named = [each.message.region for each in messages if isinstance(each.message, TurnReceived)]
        if not admits_records(self.borders, conversation, [*named, *(each.commit.region for each in commits)]):
            return None
        records = _Records([*messages, *commands], commits)
        if is_trimmed(commits) or not (records.entries or commits):
            records = records.with_archived(await self.archive.read(conversation))
        if not records.entries and not records.commits:
            return None
        await self.views.record(self.region, conversation, "trace", operator)
        records = await self._with_views(conversation, records)
        try:
            proven = await self.proofs.prove(conversation)
            records = await self._completed(conversation, records, proven)
            stored = await self.proofs.hashes(self.region, conversation)
        except BusError as error:
            return with_proof(_trace(conversation, records), no_proof(records.keys, str(error)), {})
        hashes = {**stored, **records.archived.hashes}
        proof, leaves = proof_of({key: hashes.get(key, "") for key in records.keys}, proven)
        return with_proof(_trace(conversation, records), proof, leaves)

    async def _with_views(self, conversation: ConversationId, records: _Records) -> _Records:
        """Add the stored views; none if the server's permissions are those of an earlier version."""
        try:
            views = await self.views.stored(self.region, conversation)
        except BusError as error:
            _log.warning("trace.views_not_read", error=reason_of(error))
            return records
        return _Records(records.entries, records.commits, records.archived.all_views(views), records.archived)

    async def _completed(self, conversation: ConversationId, records: _Records, proven: ProvenRecords) -> _Records:
        """Add the records that the audit trail has and the streams no longer have."""
        known = set(records.keys)
        shown = (record for record in proven.records if record.stream in _SHOWN)
        if all(RecordKey(record.stream, record.sequence) in known for record in shown):
            return records
        return records.with_archived(await self.archive.read(conversation, whole=True))


def _trace(conversation: ConversationId, records: _Records) -> Trace:
    return build_trace(conversation, records.entries, records.commits, records.archived.archives, records.views)

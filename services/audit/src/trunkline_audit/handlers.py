"""Requests to the audit service, by message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import structlog
from trunkline_chassis.errors import ObjectMissingError, ObjectStoreUnavailableError
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.archives import (
    ArchivedRecord,
    ArchivedRecords,
    ArchiveReply,
    ListConversations,
    ListReply,
    ProofReply,
    ProveRecords,
    ReadArchived,
)
from trunkline_protocols.refusal import Refused

from trunkline_audit.core.records import AuditedMessage, foreign_region
from trunkline_audit.ports import (
    ArchiveDamagedError,
    ArchivedRecordSource,
    ArchiveUnavailableError,
    ConversationIndex,
    ProofSource,
)

_log: Final = structlog.get_logger(__name__)


class ArchiveHandlers:
    """Replies with the records of archived conversations, and with proofs of records."""

    def __init__(
        self, source: ArchivedRecordSource, proofs: ProofSource, index: ConversationIndex, borders: BorderGuard
    ) -> None:
        """Read from `source` what is of the region of `borders`, prove with `proofs`, find customers in `index`."""
        self._source = source
        self._proofs = proofs
        self._index = index
        self._borders = borders

    async def list(self, request: ListConversations) -> ListReply:
        """Return the conversations of a customer, or the reason for which they cannot be listed now."""
        try:
            return await self._index.list(request)
        except ArchiveUnavailableError as error:
            return Refused(code="unavailable", message=str(error), retryable=True)

    async def prove(self, request: ProveRecords) -> ProofReply:
        """Return the proven records of a conversation, or the reason for which they cannot be proven now."""
        try:
            return await self._proofs.prove(request)
        except ArchiveUnavailableError as error:
            return Refused(code="unavailable", message=str(error), retryable=True)

    async def read(self, request: ReadArchived) -> ArchiveReply:
        """Return records, or the reason for which they cannot be read now."""
        try:
            found = await self._source.read(request)
        except (ArchiveUnavailableError, ObjectStoreUnavailableError) as error:
            return Refused(code="unavailable", message=str(error), retryable=True)
        except (ObjectMissingError, ArchiveDamagedError) as error:
            _log.error("archive.damaged", conversation=request.conversation, error=str(error))
            return Refused(code="damaged", message=str(error), retryable=False)
        admitted = [self._admits(record, request) for record in found.records]
        if not all(admitted):
            return ArchivedRecords(conversation=request.conversation, records=[])
        return found

    def _admits(self, record: ArchivedRecord, request: ReadArchived) -> bool:
        """Return whether an archived record is of this region: the database may have belonged to another one."""
        at = datetime.fromtimestamp(record.at, UTC)
        message = AuditedMessage(record.stream, record.sequence, at, record.subject, record.payload)
        region = self._borders.region
        return self._borders.admits(
            "archive",
            data=foreign_region(message, region) or region,
            conversation=request.conversation,
            asset=record.stream,
            record_id=f"archive-{record.stream}-{record.sequence}-{record.at}",
        )

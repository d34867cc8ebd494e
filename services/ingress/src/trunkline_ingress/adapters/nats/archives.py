"""Records of archived conversations, requested from the audit service."""

from __future__ import annotations

import hashlib
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.archives import ArchivedRecord, ReadArchived
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import CommitStored
from trunkline_protocols.refusal import Refused
from trunkline_protocols.texts import StoredTexts

from trunkline_ingress.core.archived import ArchivedConversation
from trunkline_ingress.core.trace import InboxEntry, RecordKey, ViewEntry

_TIMEOUT_S: Final = 20.0
"""An object is read, which may lie in another region's store."""
_MAX_PAGES: Final = 200
"""Far beyond any conversation; a peer that always has more must not hold a request."""


class NatsArchive:
    """The archive of one region."""

    def __init__(self, bus: Bus, region: str, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._region = region
        self._texts = texts

    async def read(self, conversation: ConversationId, *, whole: bool = False) -> ArchivedConversation:
        """Read the records, page by page; raises `BusUnavailableError` with the reason if that fails."""
        records: list[ArchivedRecord] = []
        archives: set[str] = set()
        for _ in range(_MAX_PAGES):
            after = records[-1].leaf if records else -1
            request = ReadArchived(conversation=conversation, after=after, whole=whole)
            raw = await self._bus.request(
                subjects.read_archive(self._region), codec.encode(request), timeout_s=_TIMEOUT_S
            )
            reply = codec.archive_reply.decode(raw)
            if isinstance(reply, Refused):
                raise BusUnavailableError(f"the archive cannot be read: {reply.message}")
            records += reply.records
            archives.update(reply.archives)
            if not reply.has_more or not reply.records:
                break
        entries = [entry for record in records if (entry := await self._entry(record)) is not None]
        log = [commit for record in records if (commit := await self._commit(record)) is not None]
        views = [view for record in records if (view := _view(record)) is not None]
        hashes = {
            RecordKey(record.stream, record.sequence): hashlib.sha256(record.payload).hexdigest() for record in records
        }
        return ArchivedConversation(entries, log, sorted(archives), views, hashes)

    async def _entry(self, record: ArchivedRecord) -> InboxEntry | None:
        """Return a message; None for a record of another stream, or one that was dead-lettered as undecodable."""
        if record.stream != streams.INBOX.name:
            return None
        try:
            message = codec.slot.decode(record.payload)
        except codec.DecodeError:
            return None
        readable = await self._texts.decrypt_or_erase(message) if isinstance(message, StoredTexts) else message
        return InboxEntry(record.subject, record.sequence, readable)

    async def _commit(self, record: ArchivedRecord) -> CommitStored | None:
        """Return a commit; None for a record of another stream, or one that cannot be decoded."""
        if record.stream != streams.CONVERSATIONS.name:
            return None
        try:
            commit = await self._texts.decrypt_or_erase(codec.commit.decode(record.payload))
        except codec.DecodeError as error:
            report_undecodable("log", record.subject, error, sequence=record.sequence)
            return None
        return CommitStored(sequence=record.sequence, commit=commit)


def _view(record: ArchivedRecord) -> ViewEntry | None:
    """Return a view of an operator; None for a record of another stream, or one that cannot be decoded."""
    if record.stream != streams.VIEWS.name:
        return None
    try:
        return ViewEntry(record.subject, record.sequence, codec.viewed.decode(record.payload))
    except codec.DecodeError:
        return None

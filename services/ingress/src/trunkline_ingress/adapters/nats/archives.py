"""Records of archived conversations, requested from the audit service."""

from __future__ import annotations

from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols import codec, subjects
from trunkline_protocols.archives import ArchivedRecord, ReadArchived
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.refusal import Refused

from trunkline_ingress.core.archived import ArchivedConversation

_TIMEOUT_S: Final = 20.0
"""An object is read, which may lie in another region's store."""
_MAX_PAGES: Final = 200
"""Far beyond any conversation; a peer that always has more must not hold a request."""


class NatsArchive:
    """The archive of one region."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._region = region

    async def read(self, conversation: ConversationId) -> ArchivedConversation:
        """Read all records, page by page; raises `BusUnavailableError` with the reason if that fails."""
        records: list[ArchivedRecord] = []
        archives: set[str] = set()
        for _ in range(_MAX_PAGES):
            request = ReadArchived(conversation=conversation, after=records[-1].leaf if records else -1)
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
        return ArchivedConversation(records, sorted(archives))

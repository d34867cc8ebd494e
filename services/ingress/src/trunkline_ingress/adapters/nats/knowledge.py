"""Client of the knowledge service."""

from __future__ import annotations

from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, subjects
from trunkline_protocols.knowledge import (
    GetArticle,
    ImportArticles,
    KnowledgeReply,
    KnowledgeRequest,
    ListBackups,
    RestoreBackup,
    SearchKnowledge,
    TakeBackup,
)

_QUERY_TIMEOUT_S: Final = 5.0
_IMPORT_TIMEOUT_S: Final = 120.0
_BACKUP_TIMEOUT_S: Final = 900.0


class KnowledgeClient:
    """Requests to the knowledge service of one region over core NATS."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._region = region

    async def search(self, query: SearchKnowledge) -> KnowledgeReply:
        """Search for passages."""
        return await self._request(subjects.search(self._region), query, timeout_s=_QUERY_TIMEOUT_S)

    async def article(self, query: GetArticle) -> KnowledgeReply:
        """Read an article."""
        return await self._request(subjects.article(self._region), query, timeout_s=_QUERY_TIMEOUT_S)

    async def import_articles(self, command: ImportArticles) -> KnowledgeReply:
        """Import articles."""
        return await self._request(subjects.import_articles(self._region), command, timeout_s=_IMPORT_TIMEOUT_S)

    async def list_backups(self) -> KnowledgeReply:
        """List the backups and the backup or restore in progress."""
        return await self._request(subjects.backups(self._region), ListBackups(), timeout_s=_QUERY_TIMEOUT_S)

    async def run_backup(self, command: TakeBackup | RestoreBackup) -> KnowledgeReply:
        """Take or restore a backup and wait until it is done."""
        return await self._request(subjects.backups(self._region), command, timeout_s=_BACKUP_TIMEOUT_S)

    async def _request(self, subject: str, request: KnowledgeRequest, *, timeout_s: float) -> KnowledgeReply:
        return codec.knowledge_reply.decode(
            await self._bus.request(subject, codec.encode(request), timeout_s=timeout_s)
        )

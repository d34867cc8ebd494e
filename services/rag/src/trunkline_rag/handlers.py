"""Request handlers of the knowledge service.

SearchKnowledge  -> `KnowledgeBase.search`
AnalyseMessage   -> `KnowledgeBase.analyse`
GetArticle       -> `KnowledgeBase.get_article`
ImportArticles   -> `KnowledgeBase.import_articles`
TakeBackup       -> `Backups.take`
RestoreBackup    -> `Backups.restore`
ListBackups      -> `Backups.manifests`
"""

from __future__ import annotations

from trunkline_chassis.errors import BusError, ObjectStoreUnavailableError
from trunkline_chassis.residency import BorderGuard
from trunkline_embedding import EmbeddingError
from trunkline_protocols.ids import InvalidIdError
from trunkline_protocols.knowledge import (
    AnalyseMessage,
    BackupInfo,
    BackupList,
    BackupRestored,
    BackupTaken,
    GetArticle,
    ImportArticles,
    KnowledgeReply,
    KnowledgeRequest,
    ListBackups,
    RestoreBackup,
    SearchKnowledge,
    TakeBackup,
)
from trunkline_protocols.refusal import Refused

from trunkline_rag.application.backups import Backups, NoBackupError
from trunkline_rag.application.knowledge_base import KnowledgeBase, NotEmptyError
from trunkline_rag.core.backups import DamagedBackupError, Manifest
from trunkline_rag.ports import ParserUnavailableError, StoreUnavailableError


class KnowledgeHandlers:
    """Maps requests to use cases, and their errors to `Refused` replies."""

    def __init__(self, knowledge_base: KnowledgeBase, backups: Backups, borders: BorderGuard) -> None:
        """One per process, which replies to requests of its own region."""
        self._borders = borders
        self._knowledge_base = knowledge_base
        self._backups = backups

    async def handle(self, request: KnowledgeRequest) -> KnowledgeReply:
        """Reply to any request of this service; one of another region is refused.

        A request without a region came on a subject of this one: from an operator, who sees articles for all audiences.
        """
        region = _region_of(request)
        if region and not self._borders.admits("retrieval", data=region):
            return Refused(code="other_region", message="this suite serves another region", retryable=False)
        try:
            match request:
                case SearchKnowledge():
                    return await self._knowledge_base.search(request)
                case AnalyseMessage():
                    return await self._knowledge_base.analyse(request)
                case GetArticle():
                    return await self._knowledge_base.get_article(request)
                case ImportArticles():
                    return await self._knowledge_base.import_articles(request)
                case TakeBackup() | RestoreBackup() | ListBackups():
                    return await self._handle_backup(request)
        except InvalidIdError as error:
            return Refused(code="bad_request", message=str(error), retryable=False)
        except (StoreUnavailableError, ParserUnavailableError, EmbeddingError, BusError) as error:
            return Refused(code="unavailable", message=str(error), retryable=True)

    async def _handle_backup(self, request: TakeBackup | RestoreBackup | ListBackups) -> KnowledgeReply:
        location = self._backups.location
        try:
            match request:
                case TakeBackup(full=full, keep=keep):
                    taken = await self._backups.take(full=full, keep=keep)
                    return BackupTaken(location=location, backup=_info(taken.manifest), removed=taken.removed)
                case RestoreBackup(backup=id_, replace=replace):
                    manifest = await self._backups.restore(id_, replace=replace)
                    return BackupRestored(location=location, backup=_info(manifest))
                case ListBackups():
                    found = [_info(manifest) for manifest in await self._backups.manifests()]
                    return BackupList(location=location, backups=found, progress=self._backups.progress)
        except (NoBackupError, DamagedBackupError) as error:
            return Refused(code="not_found", message=str(error), retryable=False)
        except NotEmptyError as error:
            return Refused(code="not_empty", message=str(error), retryable=False)
        except ObjectStoreUnavailableError as error:
            return Refused(code="unavailable", message=str(error), retryable=True)


def _region_of(request: KnowledgeRequest) -> str:
    match request:
        case SearchKnowledge() | GetArticle():
            return request.region
        case AnalyseMessage(search=SearchKnowledge() as search):
            return search.region
        case _:
            return ""


def _info(manifest: Manifest) -> BackupInfo:
    return BackupInfo(
        id=manifest.id,
        created_at=manifest.created_at,
        kind=manifest.kind,
        embedder=manifest.embedder,
        articles=manifest.articles,
        passages=manifest.passages,
        bytes=manifest.bytes,
        blobs=len(manifest.blobs),
        written=manifest.written,
    )

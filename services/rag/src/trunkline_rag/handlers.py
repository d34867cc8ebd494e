"""What is asked of the knowledge service, and who answers it.

SearchKnowledge  -> `Library.search`
GetArticle       -> `Library.article`
ImportArticles   -> `Library.take_in`
TakeSnapshot     -> `Snapshots.take`
RestoreSnapshot  -> `Snapshots.restore`
ListSnapshots    -> `Snapshots.manifests`
"""

from __future__ import annotations

from trunkline_chassis.errors import BusError
from trunkline_embedding import EmbeddingError
from trunkline_protocols import knowledge as wire
from trunkline_protocols.ids import InvalidIdError
from trunkline_protocols.knowledge import (
    GetArticle,
    ImportArticles,
    KnowledgeReply,
    KnowledgeRequest,
    ListSnapshots,
    Refused,
    RestoreSnapshot,
    SearchKnowledge,
    SnapshotInfo,
    SnapshotRestored,
    SnapshotTaken,
    TakeSnapshot,
)

from trunkline_rag.core.snapshots import DamagedError, Manifest
from trunkline_rag.library import Library, NotEmptyError
from trunkline_rag.ports import ObjectsUnavailableError, StoreUnavailableError
from trunkline_rag.snapshots import NoSnapshotError, Snapshots


class Desk:
    """Where questions to the library come in."""

    def __init__(self, library: Library, snapshots: Snapshots) -> None:
        """One a process."""
        self._library = library
        self._snapshots = snapshots

    async def answer(self, request: KnowledgeRequest) -> KnowledgeReply:
        """Answer any request of this service."""
        try:
            match request:
                case SearchKnowledge():
                    return await self._library.search(request)
                case GetArticle():
                    return await self._library.article(request)
                case ImportArticles():
                    return await self._library.take_in(request)
                case TakeSnapshot() | RestoreSnapshot() | ListSnapshots():
                    return await self._about_snapshots(request)
        except InvalidIdError as error:
            return Refused(code="bad_request", message=str(error), retryable=False)
        except (StoreUnavailableError, EmbeddingError, BusError) as error:
            return Refused(code="unavailable", message=str(error), retryable=True)

    async def _about_snapshots(self, request: TakeSnapshot | RestoreSnapshot | ListSnapshots) -> KnowledgeReply:
        place = self._snapshots.place
        try:
            match request:
                case TakeSnapshot(full=full, keep=keep):
                    taken = await self._snapshots.take(full=full, keep=keep)
                    return SnapshotTaken(place=place, snapshot=_info(taken.manifest), removed=taken.removed)
                case RestoreSnapshot(snapshot=id_, replace=replace):
                    manifest = await self._snapshots.restore(id_, replace=replace)
                    return SnapshotRestored(place=place, snapshot=_info(manifest))
                case ListSnapshots():
                    found = [_info(manifest) for manifest in await self._snapshots.manifests()]
                    return wire.Snapshots(place=place, snapshots=found, progress=self._snapshots.progress)
        except (NoSnapshotError, DamagedError) as error:
            return Refused(code="not_found", message=str(error), retryable=False)
        except NotEmptyError as error:
            return Refused(code="not_empty", message=str(error), retryable=False)
        except ObjectsUnavailableError as error:
            return Refused(code="unavailable", message=str(error), retryable=True)


def _info(manifest: Manifest) -> SnapshotInfo:
    return SnapshotInfo(
        id=manifest.id,
        made_at=manifest.made_at,
        kind=manifest.kind,
        embedder=manifest.embedder,
        articles=manifest.articles,
        passages=manifest.passages,
        bytes=manifest.bytes,
        blobs=len(manifest.blobs),
        written=manifest.written,
    )

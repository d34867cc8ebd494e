"""The knowledge base of one process: the store is the source of truth, the index of this process answers searches."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog
from trunkline_chassis.cancellation import run_in_thread
from trunkline_chassis.logs import reason_of
from trunkline_embedding import Embedder
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.ids import InvalidIdError, token
from trunkline_protocols.knowledge import (
    AnalyseMessage,
    Article,
    ArticlesImported,
    GetArticle,
    ImportArticles,
    MessageAnalysed,
    PassagesFound,
    SearchKnowledge,
)
from trunkline_protocols.refusal import Refused

from trunkline_rag.application.article_import import ArticleImporter
from trunkline_rag.application.message_analysis import MessageAnalyser
from trunkline_rag.application.passage_embedding import embed_passages
from trunkline_rag.application.passage_search import PassageSearch
from trunkline_rag.application.single_process import LocalChangeFeed, LocalWriteLock
from trunkline_rag.application.synced_index import SyncedIndex
from trunkline_rag.core.backups import StoreDump, merge_backup
from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.passage_set import PassageSet
from trunkline_rag.core.question import Vectors
from trunkline_rag.core.scope import Scope, SearchAudience
from trunkline_rag.core.versions import latest_by_key
from trunkline_rag.ports import ArticleParser, ChangeFeed, Store, StoreUnavailableError, WriteLock

_log: Final = structlog.get_logger(__name__)
_SEARCH_TIMEOUT_S: Final = 0.5
"""Of the search that comes with an analysis, for which agents wait one second."""


class NotEmptyError(RuntimeError):
    """A restore would replace articles, and `replace` was not set."""

    def __init__(self, articles: int) -> None:
        """Take the number of articles that would be replaced."""
        super().__init__(f"the knowledge base holds {articles} articles; a restore with `replace` replaces them")


class KnowledgeBase:
    """Search, import, dump and restore of articles."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder | None = None,
        *,
        fingerprint: str = "",
        parser: ArticleParser,
        write_lock: WriteLock | None = None,
        changes: ChangeFeed | None = None,
        own_source: str = "",
    ) -> None:
        """Wire the parts; searches find nothing until `open` has run.

        `fingerprint` names the embedder's model in analyses. `write_lock` and `changes` are needed if other processes
        write to the same store. `own_source` is the import source that is imported at every start.
        """
        self._store = store
        self._embedder = embedder
        self._own_source = own_source
        self._index = SyncedIndex(
            store,
            write_lock or LocalWriteLock(),
            changes or LocalChangeFeed(),
            known_words=embedder.vocabulary if embedder is not None else frozenset(),
        )
        self._analyser = MessageAnalyser(embedder, fingerprint, self._index.correct)
        self._search = PassageSearch(store, self._index, embedder, self._analyser)
        self._importer = ArticleImporter(store, self._index, embedder, parser)

    @property
    def writes(self) -> int:
        """Number of writes of this process that changed the store."""
        return self._index.writes

    async def open(self) -> None:
        """Build the index from the store; if the store is unavailable, the previous index stays."""
        await self._index.load()

    async def follow(self) -> None:
        """Apply the writes of other processes and retry failed loads, until cancelled."""
        await self._index.follow()

    async def search(self, request: SearchKnowledge) -> PassagesFound:
        """Find passages, best first."""
        return await self._search.search(request)

    async def use_fleets(self, fleets: Sequence[Fleet]) -> None:
        """Take the words of fleets for no typing mistakes."""
        await self._index.use_fleets(fleets)

    async def analyse(self, request: AnalyseMessage) -> MessageAnalysed:
        """Return vector and language of a message, and the passages that its query asks for.

        An emergency is recognised by the vector: a search that is slow or refused does not hold it back.
        """
        analysed = await self._analyser.analyse(request)
        if request.search is None or analysed.language:
            return analysed
        try:
            async with asyncio.timeout(_SEARCH_TIMEOUT_S):
                found = await self._search.search(msgspec.structs.replace(request.search, vector=analysed.vector))
        except (TimeoutError, InvalidIdError) as error:
            _log.warning("analysis.not_searched", reason=reason_of(error))
            return analysed
        return msgspec.structs.replace(analysed, passages=found.passages)

    async def import_articles(self, request: ImportArticles) -> ArticlesImported:
        """Store changed articles and report problems; searches use the previous index until `more` is false."""
        return await self._importer.import_articles(request)

    async def get_article(self, request: GetArticle) -> Article | Refused:
        """Read one whole article in the requested version, if the requester may see the article as it is now.

        The scope of the latest version counts: an old version of an article that is internal or expired now is not
        found. An old version that was internal itself is not found either. Versions of a removed article stay readable.
        """
        tenant, document = token(request.tenant, "tenant"), token(request.document, "document")
        try:
            found = await asyncio.to_thread(self._store.get, tenant, document, request.rev)
            latest = await asyncio.to_thread(self._store.get, tenant, document) if request.rev else found
        except StoreUnavailableError as error:
            return Refused(code="unavailable", message=str(error), retryable=True)
        if found is None or not _may_read(request, found[0].scope, (latest or found)[0].scope):
            return Refused(code="not_found", message=f"no article {document}", retryable=False)
        read, is_latest = found
        return Article(
            document=read.id,
            title=read.title,
            text=read.text,
            rev=read.rev,
            is_latest=is_latest,
            internal=read.scope.visibility == "internal",
        )

    # -- whole collections ---

    async def reembed(self) -> None:
        """Embed all passages with this process' embedder and activate them; until then searches go by terms."""
        async with self._index.writing():
            if not self._store.needs_vectors:
                return
            passages = await run_in_thread(self._store.read_passages)
            rows, vectors = await self._embed(passages.rows)
            await self._index.replace(lambda: self._store.replace_vectors(PassageSet(rows, vectors)))
        embedder = self._embedder.name if self._embedder is not None else None
        _log.info("passages.reembedded", passages=len(passages.rows), embedder=embedder)

    async def dump(self) -> StoreDump:
        """Read the whole store between two imports."""
        async with self._index.writing():
            return await run_in_thread(self._store.dump)

    async def restore(self, backup: StoreDump, *, replace: bool) -> None:
        """Activate a backup; searches use the previous content until then.

        Raises `NotEmptyError` if there are articles and `replace` is not set. Articles of the own source do not count:
        they are imported at every start.
        """
        async with self._index.writing():
            live = (await run_in_thread(self._store.dump)).versions
            others = sum(
                not latest.is_removed and latest.document.source != self._own_source
                for latest in latest_by_key(live).values()
            )
            if others and not replace:
                raise NotEmptyError(others)
            dump = merge_backup(backup, live)
            if dump.embedder != self._store.embedder_tag:
                rows, vectors = await self._embed(dump.rows)
                dump = dataclasses.replace(dump, rows=rows, vectors=vectors, embedder=self._store.embedder_tag)
            await self._index.replace(lambda: self._store.replace(dump))

    async def _embed(self, rows: Sequence[PassageRow]) -> tuple[list[PassageRow], Vectors | None]:
        return await asyncio.to_thread(embed_passages, rows, self._embedder)


def _may_read(request: GetArticle, version: Scope, latest: Scope) -> bool:
    if version.visibility == "internal" and not request.internal:
        return False
    today = datetime.fromtimestamp(time.time(), UTC).date().isoformat()
    return any(
        SearchAudience(
            region=request.region,
            language=request.language,
            specialty=specialty,
            internal=request.internal,
            today=today,
        ).may_see(latest)
        for specialty in request.specialties or [""]
    )

"""What is asked, and who answers.

rag.<region>.search    SearchKnowledge  -> `Library.search`
rag.<region>.article   GetArticle       -> `Library.article`
rag.<region>.import    ImportArticles   -> `Library.take_in`
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import structlog
from trunkline_protocols.ids import InvalidIdError, token
from trunkline_protocols.knowledge import (
    Article,
    ArticleFile,
    ArticlesImported,
    GetArticle,
    ImportArticles,
    ImportProblem,
    KnowledgeReply,
    KnowledgeRequest,
    Passage,
    PassagesFound,
    Refused,
    SearchKnowledge,
)

from trunkline_rag.core.articles import Document, parse
from trunkline_rag.core.index import Index
from trunkline_rag.core.question import read_question
from trunkline_rag.ports import Store

_log: Final = structlog.get_logger(__name__)
_MOST_PASSAGES: Final = 50


class Library:
    """The knowledge base: the store is the truth, the index answers."""

    def __init__(self, store: Store) -> None:
        """Answer nothing until `open` has run."""
        self._store = store
        self._index = Index([])
        self._importing = asyncio.Lock()

    async def open(self) -> None:
        """Make the index from what is stored."""
        self._index = await asyncio.to_thread(lambda: Index(self._store.rows()))
        _log.info("library.open", passages=len(self._index))

    async def answer(self, request: KnowledgeRequest) -> KnowledgeReply:
        """Answer any request of this service."""
        try:
            match request:
                case SearchKnowledge():
                    return self.search(request)
                case GetArticle():
                    return await self.article(request)
                case ImportArticles():
                    return await self.take_in(request)
        except InvalidIdError as error:
            return Refused(code="bad_request", message=str(error), retryable=False)

    def search(self, request: SearchKnowledge) -> PassagesFound:
        """Find passages, best first."""
        started = time.perf_counter()
        limit = max(1, min(request.limit, _MOST_PASSAGES))
        question = read_question(request.query)
        hits = self._index.search(question, tenant=request.tenant, topics=request.topics, limit=limit)
        return PassagesFound(
            passages=[
                Passage(document=hit.row.document, title=hit.row.title, text=hit.row.text, score=round(hit.score, 4))
                for hit in hits
            ],
            took_ms=round((time.perf_counter() - started) * 1000, 3),
        )

    async def article(self, request: GetArticle) -> Article | Refused:
        """Read one whole article."""
        tenant, document = token(request.tenant, "tenant"), token(request.document, "document")
        found = await asyncio.to_thread(self._store.get, tenant, document)
        if found is None:
            return Refused(code="not_found", message=f"no article {document}", retryable=False)
        return Article(
            document=found.id, title=found.title, text=found.text, topics=found.topics, updated=found.updated
        )

    async def take_in(self, request: ImportArticles) -> ArticlesImported:
        """Store what can be read, report what cannot; searches go on with the old index until all is there."""
        tenant = token(request.tenant, "tenant")
        documents: dict[str, Document] = {}
        problems: list[ImportProblem] = []
        for file in request.files:
            for parsed in parse(file):
                if isinstance(parsed, Document):
                    documents[parsed.id] = parsed
                else:
                    problems.append(parsed)
        async with self._importing:
            passages = await asyncio.to_thread(self._store.put, tenant, list(documents.values())) if documents else 0
            await self.open()
        _log.info("library.imported", documents=len(documents), passages=passages, problems=len(problems))
        return ArticlesImported(documents=len(documents), passages=passages, problems=problems)

    async def follow(self, folder: Path, tenant: str) -> None:
        """Take in the articles of a folder that are new or have changed."""
        known = await asyncio.to_thread(self._store.digests, tenant)
        files = await asyncio.to_thread(_read_folder, folder)
        changed = [file for file in files if _differs(file, known)]
        if not changed:
            return
        done = await self.take_in(ImportArticles(tenant=tenant, files=changed))
        for problem in done.problems:
            _log.warning("library.problem", file=problem.name, reason=problem.reason)


def _read_folder(folder: Path) -> list[ArticleFile]:
    return [
        ArticleFile(name=str(path.relative_to(folder)), content=path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in {".md", ".html", ".jsonl"}
    ]


def _differs(file: ArticleFile, known: dict[str, str]) -> bool:
    return any(not isinstance(parsed, Document) or known.get(parsed.id) != parsed.digest for parsed in parse(file))

"""A cancelled import: its threads end before its locks are released."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest
from trunkline_protocols.knowledge import ArticleFile, ArticlesImported, ImportArticles
from trunkline_rag.application.article_import import ArticleImporter
from trunkline_rag.application.single_process import LocalChangeFeed
from trunkline_rag.application.synced_index import SyncedIndex
from trunkline_rag.core.articles import Document, ParsedItem, parse
from trunkline_rag.core.passage_set import PassageSet, StagedArticle
from trunkline_rag.core.versions import LatestVersion

TIMEOUT_S: Final = 30.0
FILES: Final = [ArticleFile(name=f"{number}.md", content=f"Text {number}.") for number in range(450)]
"""More than two batches of the store."""


class Gate:
    """Blocks a thread at its first passage until it is opened."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()
        if is_open:
            self._opened.set()

    def pass_through(self) -> None:
        self.reached.set()
        assert self._opened.wait(TIMEOUT_S)

    def open(self) -> None:
        self._opened.set()

    async def wait_until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, TIMEOUT_S)


class Journal:
    """The order in which locks are released and articles are stored."""

    def __init__(self) -> None:
        self.steps: list[str] = []


class GatedStore:
    """Stores articles in memory; each batch passes the gate."""

    def __init__(self, journal: Journal, gate: Gate) -> None:
        self._journal = journal
        self._gate = gate

    def latest_versions(self, tenant: str) -> dict[str, LatestVersion]:
        del tenant
        return {}

    def next_rev(self, tenant: str, document: str) -> int:
        del tenant, document
        return 1

    def get(self, tenant: str, document: str, rev: int = 0) -> tuple[Document, bool] | None:
        raise NotImplementedError

    def put(self, tenant: str, articles: Sequence[StagedArticle]) -> None:
        del tenant
        self._gate.pass_through()
        self._journal.steps.append(f"stored {len(articles)}")

    def remove(self, tenant: str, documents: Sequence[str]) -> None:
        del tenant, documents
        self._journal.steps.append("removed")

    def refresh(self) -> None:
        """Nothing: there are no other writers."""

    def flush(self) -> None:
        self._journal.steps.append("flushed")

    def read_passages(self) -> PassageSet:
        return PassageSet([], None)


class JournalledLock:
    """A write lock that notes its release."""

    is_shared = False

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        try:
            yield True
        finally:
            self._journal.steps.append("released")


class GatedParser:
    """Parses in the calling thread; each file passes the gate. Notes more than one caller at a time."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.parsed = 0
        self.callers = 0
        self.max_callers = 0

    def parse(self, files: Iterable[ArticleFile], *, timeout_s: float | None = None) -> Iterator[ParsedItem]:
        del timeout_s
        self.callers += 1
        self.max_callers = max(self.max_callers, self.callers)
        try:
            for file in files:
                self._gate.pass_through()
                self.parsed += 1
                yield from parse(file)
        finally:
            self.callers -= 1


def importer(store: GatedStore, parser: GatedParser, lock: JournalledLock) -> ArticleImporter:
    """Return an importer without vectors."""
    return ArticleImporter(store, SyncedIndex(store, lock, LocalChangeFeed()), None, parser)


async def cancelled(work: asyncio.Task[ArticlesImported], gate: Gate) -> None:
    """Cancel work whose thread waits at a gate, twice, as a shutdown does; then open the gate."""
    await gate.wait_until_reached()
    for _ in range(2):
        work.cancel()
        await asyncio.wait([work], timeout=0.05)
    gate.open()
    async with asyncio.timeout(TIMEOUT_S):
        with pytest.raises(asyncio.CancelledError):
            await work


async def test_cancelled_import_stores_nothing_after_it_has_released_the_lock() -> None:
    """The batch that is being stored is finished under the lock; no other one follows."""
    journal, gate, opened = Journal(), Gate(), Gate(is_open=True)
    importing = importer(GatedStore(journal, gate), GatedParser(opened), JournalledLock(journal))
    await cancelled(
        asyncio.ensure_future(importing.import_articles(ImportArticles(tenant="default", files=FILES))), gate
    )
    # The default executor runs its work in order of submission on idle threads: wait for those that are left.
    await asyncio.get_running_loop().shutdown_default_executor()
    assert journal.steps == ["stored 200", "released"]


async def test_cancelled_import_has_ended_its_parsing_when_the_next_one_begins() -> None:
    """The parser serves one caller at a time; files that are left are not read."""
    journal, gate = Journal(), Gate()
    parser = GatedParser(gate)
    importing = importer(GatedStore(journal, Gate(is_open=True)), parser, JournalledLock(journal))
    first = asyncio.ensure_future(importing.import_articles(ImportArticles(tenant="default", files=FILES)))
    await gate.wait_until_reached()
    second = asyncio.ensure_future(importing.import_articles(ImportArticles(tenant="default", files=FILES[:2])))
    await cancelled(first, gate)
    assert (await second).documents == 2
    assert parser.max_callers == 1
    assert parser.parsed < 10

"""The in-process index, kept in step with the writes of this process and of others.

Its `IndexState` decides when the store is read again (`core/index_state.py` has the transition table).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import structlog
from prometheus_client import Gauge
from trunkline_chassis.cancellation import run_in_thread
from trunkline_chassis.errors import BusError
from trunkline_protocols.fleet import Fleet

from trunkline_rag.core.fleet_words import fleet_words
from trunkline_rag.core.index import Index
from trunkline_rag.core.index_state import IndexEvent, IndexState
from trunkline_rag.core.passage_set import PassageSet, StagedArticle
from trunkline_rag.core.spelling import Speller
from trunkline_rag.core.vector_index import VectorIndex
from trunkline_rag.core.versions import ArticleKey
from trunkline_rag.ports import ChangeFeed, PassageSource, StoreUnavailableError, WriteLock

_log: Final = structlog.get_logger(__name__)
_PASSAGES: Final = Gauge("trunkline_knowledge_passages", "Searchable passages in the index of this process")

R = TypeVar("R")


class SyncedIndex:
    """Index of the store's passages and guard of its writes. One per process."""

    def __init__(
        self,
        store: PassageSource,
        write_lock: WriteLock,
        changes: ChangeFeed,
        *,
        known_words: frozenset[str] = frozenset(),
    ) -> None:
        """Start empty; `load` reads the store. `known_words` are no typing mistakes, though no article has them."""
        self._store = store
        self._known_words = known_words
        self._write_lock = write_lock
        self._changes = changes
        self._mutex = asyncio.Lock()
        self._state = IndexState.UNLOADED
        self._version = 0
        """Version of the change feed that this process has seen."""
        self._staged: dict[ArticleKey, StagedArticle | None] = {}
        """Articles stored, or removed if None, since the index was built."""
        self.writes = 0
        """Writes of this process that changed the store."""
        self.passages = PassageSet([], None)
        """Content of `current`."""
        self.current = Index([])
        """The index that answers searches; replaced as a whole."""
        self._fleet_words: list[str] = []
        self._speller = Speller([])

    @property
    def is_stale(self) -> bool:
        """The store could not be read, and `current` is of an earlier time."""
        return self._state is IndexState.UNAVAILABLE

    def correct(self, text: str) -> str:
        """Return a question with its typing mistakes corrected by the words of `current` and of the fleet."""
        return self._speller.correct(text)

    async def use_fleets(self, fleets: Sequence[Fleet]) -> None:
        """Take the words of fleets for words too."""
        async with self._mutex:
            self._fleet_words = sorted({word for fleet in fleets for word in fleet_words(fleet)})
            self._speller = await self._build_speller(self.current)

    async def _build_speller(self, index: Index) -> Speller:
        return await asyncio.to_thread(index.speller, self._known_words, fleet=self._fleet_words)

    # -- reading ---

    async def load(self) -> None:
        """Build the index from the store; if the store is unavailable, the previous index stays."""
        async with self._mutex:
            await self._load()

    async def follow(self) -> None:
        """Apply the writes of other processes and retry failed loads, until cancelled."""
        await self._changes.follow(self._catch_up)

    async def _catch_up(self) -> None:
        async with self._mutex:
            if not self._state.is_index_complete or await self._changes.version() != self._version:
                await self._load()

    async def _load(self) -> None:
        started = time.perf_counter()
        # Read before the passages: a write in between is seen as a change afterwards.
        version = await self._changes.version()
        try:
            # The store reads the latest versions itself when it is opened.
            if self._write_lock.is_shared or self._state is not IndexState.UNLOADED:
                await run_in_thread(self._store.refresh)
            passages = await run_in_thread(lambda: _without_gc(self._store.read_passages))
        except StoreUnavailableError as error:
            self._apply(IndexEvent.LOAD_FAILED)
            _log.warning("store.unavailable", error=str(error))
            return
        await self._build(passages)
        self._version = version
        self._apply(IndexEvent.LOADED)
        took_ms = round((time.perf_counter() - started) * 1000)
        vectors = passages.vectors is not None
        _log.info("index.loaded", passages=len(self.current), vectors=vectors, took_ms=took_ms)

    async def _build(self, passages: PassageSet) -> None:
        # Concurrently: terms are Python's work, and faiss releases the interpreter lock.
        building = asyncio.to_thread(_without_gc, lambda: Index(passages.rows))
        if passages.vectors is None:
            index = await building
        else:
            index, vectors = await asyncio.gather(building, asyncio.to_thread(VectorIndex, passages.vectors))
            index = index.with_vectors(vectors)
        self._speller = await self._build_speller(index)
        self.current = index
        self.passages, self._staged = passages, {}
        _PASSAGES.set(len(self.current))

    # -- writing ---

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Hold the write lock, with the versions written by other processes known.

        Raises `StoreUnavailableError` if they cannot be read.
        """
        async with self._mutex, self._write_lock.held() as is_published:
            if not is_published:
                # Every process has to read again what an interrupted writer may have stored.
                await self._changes.publish(is_complete=False)
            await self._prepare_write(must_load=not is_published)
            try:
                yield
            except BaseException:
                self._apply(IndexEvent.WRITE_FAILED)
                with contextlib.suppress(BusError):
                    await self._changes.publish(is_complete=False)
                raise

    async def _prepare_write(self, *, must_load: bool) -> None:
        if must_load or self._state.must_load_before_write(is_shared=self._write_lock.is_shared):
            await self._load()
        elif (version := await self._changes.version()) != self._version:
            await run_in_thread(self._store.refresh)
            self._version = version
            self._apply(IndexEvent.REFRESHED)
        if self._state is IndexState.UNAVAILABLE:
            raise StoreUnavailableError("Milvus is unavailable")
        self._apply(IndexEvent.LOCKED)

    def stage(self, articles: Mapping[ArticleKey, StagedArticle | None]) -> None:
        """Record articles that were stored, or removed if None, for the next commit."""
        self._staged |= articles

    async def commit(self, *, is_changed: bool, is_complete: bool) -> None:
        """Publish a write to other processes; if no more writes follow, apply the staged articles to the index."""
        self.writes += is_changed
        must_index = is_complete and (bool(self._staged) or not self._state.is_index_complete)
        if must_index:
            await run_in_thread(self._store.flush)
        if is_changed or must_index:
            self._version = await self._changes.publish(is_complete=is_complete)
        if must_index and self._state.is_index_complete:
            await self._build(await asyncio.to_thread(self.passages.with_changes, self._staged))
        elif must_index:
            await self._load()

    async def replace(self, write: Callable[[], None]) -> None:
        """Run a blocking write that activates new collections, publish it and load the index from them."""
        await run_in_thread(write)
        self.writes += 1
        await self._changes.publish(is_complete=True)
        await self._load()

    def _apply(self, event: IndexEvent) -> None:
        self._state = self._state.after(event)


def _without_gc(work: Callable[[], R]) -> R:
    """Run work that creates many objects without cycles; the cyclic collector would take a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return work()
    finally:
        if was_enabled:
            gc.enable()

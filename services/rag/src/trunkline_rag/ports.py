"""Ports of the knowledge service: the parser, the store by the use of its callers, the write lock, the backups."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from trunkline_protocols.knowledge import ArticleFile

from trunkline_rag.core.articles import Document, ParsedItem
from trunkline_rag.core.backups import StoreDump
from trunkline_rag.core.passage_set import PassageSet, StagedArticle
from trunkline_rag.core.question import SearchQuestion
from trunkline_rag.core.scope import SearchAudience
from trunkline_rag.core.versions import LatestVersion

# -- parsing ---


class ParserUnavailableError(RuntimeError):
    """No parser process can be started."""


class ArticleParser(Protocol):
    """Parses untrusted files within limits; blocks and is called from one thread at a time."""

    def parse(self, files: Iterable[ArticleFile], *, timeout_s: float | None = None) -> Iterator[ParsedItem]:
        """Parse files in order; a file over a limit, or not read before the timeout, is reported as a problem.

        Raises `ParserUnavailableError`.
        """
        ...


# -- the store: all methods block and are called from threads; all raise `StoreUnavailableError` ---


class StoreUnavailableError(RuntimeError):
    """The store does not answer; searches are answered from the last index."""


class StoreElsewhereError(StoreUnavailableError):
    """The store belongs to another region: nothing is read from it or written to it."""

    def __init__(self, home: str, region: str) -> None:
        """Name the region of the store and that of this process."""
        super().__init__(
            f"this Milvus holds the knowledge of region {home!r}: region {region!r} needs a folder, a server or a "
            "database of its own"
        )


class ArticleStore(Protocol):
    """Reads and writes articles. Writes need the write lock."""

    def latest_versions(self, tenant: str) -> dict[str, LatestVersion]:
        """Return the articles of a tenant by id, without removed ones."""
        ...

    def next_rev(self, tenant: str, document: str) -> int:
        """Return the number of an article's next version; numbers are unique even after a removal."""
        ...

    def get(self, tenant: str, document: str, rev: int = 0) -> tuple[Document, bool] | None:
        """Read one whole article and whether that version is the latest; `rev` 0 reads the latest."""
        ...

    def put(self, tenant: str, articles: Sequence[StagedArticle]) -> None:
        """Replace articles, each atomically; they are durable when this returns."""
        ...

    def remove(self, tenant: str, documents: Sequence[str]) -> None:
        """Remove articles from search; their versions stay readable."""
        ...


class PassageSource(Protocol):
    """Reads all passages for the index."""

    def refresh(self) -> None:
        """Read again the state that other processes may have changed: latest versions and active collections."""
        ...

    def read_passages(self) -> PassageSet:
        """Read all passages of the latest versions."""
        ...

    def flush(self) -> None:
        """Flush written rows, which are slow to read until then."""
        ...


class NativeSearch(Protocol):
    """The store's own search, if it has one."""

    @property
    def has_native_search(self) -> bool:
        """The store itself searches; the index answers only if the store is unavailable."""
        ...

    def search(
        self, question: SearchQuestion, *, tenant: str, topics: Sequence[str], audience: SearchAudience, limit: int
    ) -> list[list[tuple[str, int]]]:
        """Return one ranking per sentence, as (document, position in it), best first."""
        ...


class CollectionStore(Protocol):
    """Reads and replaces whole collections. Replacing needs the write lock."""

    @property
    def embedder_tag(self) -> str:
        """Name of this process' embedder in the form of `StoreDump.embedder`."""
        ...

    @property
    def needs_vectors(self) -> bool:
        """The stored passages have vectors of another embedder, or none."""
        ...

    def dump(self) -> StoreDump:
        """Read everything: all versions, all passages and their vectors, of any embedder."""
        ...

    def replace(self, dump: StoreDump) -> None:
        """Write a dump with vectors of this process' embedder to new collections, then activate them."""
        ...

    def replace_vectors(self, passages: PassageSet) -> None:
        """Write passages with vectors of this process' embedder to a new collection, then activate it."""
        ...


class Store(ArticleStore, PassageSource, NativeSearch, CollectionStore, Protocol):
    """All roles of the store."""


# -- coordination of writers ---


class WriteLock(Protocol):
    """A lock among all processes that write to one store. Raises `BusError`."""

    @property
    def is_shared(self) -> bool:
        """Other processes may write to the same store."""
        ...

    def held(self) -> AbstractAsyncContextManager[bool]:
        """Acquire the lock, hold it for the block and release it; fail if it is lost in between.

        Yields whether the last holder has published everything that it wrote: one that was killed, or failed, has not.
        """
        ...


class ChangeFeed(Protocol):
    """The writes of all processes of one store. Raises `BusError`."""

    async def version(self) -> int:
        """Return a number that changes with every published write of any process."""
        ...

    async def publish(self, *, is_complete: bool) -> int:
        """Publish a write under the lock and return the new version; `is_complete` if no more writes follow it."""
        ...

    async def follow(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Call `on_change` at the start, after complete writes and periodically, until cancelled."""
        ...


# -- the object store of backups ---


class ObjectStore(Protocol):
    """An object store with atomic writes. Raises `ObjectStoreUnavailableError`."""

    @property
    def location(self) -> str:
        """Folder or URL, for messages."""
        ...

    async def put(self, name: str, payload: bytes) -> None:
        """Write an object."""
        ...

    async def get(self, name: str) -> bytes:
        """Read an object; raise `ObjectMissingError`."""
        ...

    async def list_objects(self, prefix: str) -> dict[str, float]:
        """Return the names of the objects below a prefix, without it, with their modification times."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects; missing ones are ignored."""
        ...

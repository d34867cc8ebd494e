"""What the knowledge service needs from its store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trunkline_rag.core.articles import Document
from trunkline_rag.core.backups import Key, StoreDump
from trunkline_rag.core.index import Row
from trunkline_rag.core.question import SearchQuestion, Vectors
from trunkline_rag.core.scope import Audience


class StoreUnavailableError(RuntimeError):
    """The store does not answer; searches go on in what was last read of it."""


@dataclass(frozen=True, slots=True)
class LatestVersion:
    """The latest version of an article, without its text."""

    rev: int
    digest: str
    source: str
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class StagedArticle:
    """An article on its way into the store: its passages, and a vector each where there is an embedder."""

    document: Document
    rows: list[Row]
    vectors: Vectors | None


@dataclass(frozen=True, slots=True)
class PassageSet:
    """All passages of all latest versions; `vectors` has a row each, None where they are another embedder's."""

    rows: list[Row]
    vectors: Vectors | None

    def changed(self, articles: Mapping[Key, StagedArticle | None]) -> PassageSet:
        """Return what is held after these articles were stored, or removed, in the order of the store's keys."""
        kept = [number for number, row in enumerate(self.rows) if (row.tenant, row.document) not in articles]
        filed = [article for article in articles.values() if article is not None and article.rows]
        rows = [*(self.rows[number] for number in kept), *(row for article in filed for row in article.rows)]
        order = sorted(range(len(rows)), key=lambda number: f"{rows[number].tenant}/{rows[number].document}/")
        parts = [article.vectors for article in filed]
        if kept:
            parts.insert(0, self.vectors[kept] if self.vectors is not None else None)
        vectors = [part for part in parts if part is not None]
        has_all = bool(parts) and len(vectors) == len(parts)
        return PassageSet([rows[number] for number in order], np.concatenate(vectors)[order] if has_all else None)


class WriteLock(Protocol):
    """Whose turn it is to write, among all processes of one store. Raises `BusError`."""

    @property
    def are_shared(self) -> bool:
        """There may be other processes."""
        ...

    def held(self) -> AbstractAsyncContextManager[None]:
        """Wait until nobody writes, and write until the block ends."""
        ...

    async def version(self) -> int:
        """Changes with everything that anybody has written."""
        ...

    async def announce(self, *, settled: bool) -> int:
        """Tell the others, in one's own turn, that something was written; `settled`: and that was all of it."""
        ...

    async def follow(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Call back at the start, when others have written, and now and then; until cancelled."""
        ...


class ObjectsUnavailableError(RuntimeError):
    """The object store does not answer, or refuses; the message says where and why."""


class ObjectMissingError(LookupError):
    """There is no object of this name."""


class Objects(Protocol):
    """An object store: what is put is there whole or not at all. Raises `ObjectsUnavailableError`."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    async def put(self, name: str, payload: bytes) -> None:
        """Store an object."""
        ...

    async def get(self, name: str) -> bytes:
        """Read an object; raise `ObjectMissingError`."""
        ...

    async def listed(self, prefix: str) -> dict[str, float]:
        """Name the objects below a prefix, without it, with the time of each."""
        ...

    async def remove(self, names: Sequence[str]) -> None:
        """Remove objects; one that is gone already is no error."""
        ...


class Store(Protocol):
    """Where articles and passages are kept. Blocking: called from threads. Raises `StoreUnavailableError`."""

    @property
    def is_native(self) -> bool:
        """The store itself searches, and the index answers only when it is away."""
        ...

    @property
    def tag(self) -> str:
        """Name of this process' embedder, as a stock names it."""
        ...

    @property
    def needs_vectors(self) -> bool:
        """What is stored was embedded by another embedder than this process', or by none."""
        ...

    def latest_versions(self, tenant: str) -> dict[str, LatestVersion]:
        """Name the articles of a tenant."""
        ...

    def next_rev(self, tenant: str, document: str) -> int:
        """Number the next version of an article, also of one that was removed: no number is used twice."""
        ...

    def put(self, tenant: str, filed: Sequence[StagedArticle]) -> None:
        """Replace these articles, in one's own turn; durable when it returns, and none is ever seen half."""
        ...

    def remove(self, tenant: str, documents: Sequence[str]) -> None:
        """Take articles out of the search; their versions can still be read."""
        ...

    def flush(self) -> None:
        """Make what was written quick to read; after a job of puts."""
        ...

    def get(self, tenant: str, document: str, rev: int = 0) -> tuple[Document, bool] | None:
        """Read one whole article, and whether that is its latest version; `rev` 0 asks for that one."""
        ...

    def refresh(self) -> None:
        """Read anew what others may have changed: the articles, and which collections are in force."""
        ...

    def holdings(self) -> PassageSet:
        """Read all passages of the articles in force."""
        ...

    def stock(self) -> StoreDump:
        """Read everything: all versions, all passages, and their vectors whatever embedder they are of."""
        ...

    def replace(self, stock: StoreDump) -> None:
        """Write a stock, in the vectors of this process' embedder, beside what is there, and put it in force."""
        ...

    def replace_vectors(self, holdings: PassageSet) -> None:
        """Write passages with the vectors of this process' embedder beside the old ones, and put them in force."""
        ...

    def native_ranks(
        self, question: SearchQuestion, *, tenant: str, topics: Sequence[str], asker: Audience, limit: int
    ) -> list[list[tuple[str, int]]] | None:
        """Let the store itself search: one ranking a sentence, of (document, position). None where the index does."""
        ...

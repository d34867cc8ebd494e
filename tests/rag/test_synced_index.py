"""The synced index over fakes: when the store is loaded, refreshed and published to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from trunkline_rag.application.synced_index import SyncedIndex
from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_set import PassageSet, StagedArticle
from trunkline_rag.core.passages import split_document
from trunkline_rag.ports import StoreUnavailableError


def article(name: str) -> StagedArticle:
    document = Document(name, name.title(), f"Text about {name}.", rev=1)
    return StagedArticle(document, split_document(document, "default"), None)


class FakeStore:
    """Passages in memory, and the calls of the index."""

    def __init__(self) -> None:
        self.articles = [article("refund")]
        self.calls: list[str] = []
        self.is_down = False

    def refresh(self) -> None:
        self.calls.append("refresh")

    def flush(self) -> None:
        self.calls.append("flush")

    def read_passages(self) -> PassageSet:
        self.calls.append("read")
        if self.is_down:
            raise StoreUnavailableError("down")
        return PassageSet([row for one in self.articles for row in one.rows], None)

    def taken_calls(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


class FakeLock:
    """A lock without contenders."""

    def __init__(self, *, is_shared: bool) -> None:
        self.is_shared = is_shared
        self.is_published = True

    @asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        yield self.is_published


class FakeFeed:
    """Counts published writes; `follow` calls back once."""

    def __init__(self) -> None:
        self.published = 0

    async def version(self) -> int:
        return self.published

    async def publish(self, *, is_complete: bool) -> int:
        self.published += 1
        return self.published

    async def follow(self, on_change: Callable[[], Awaitable[None]]) -> None:
        await on_change()


class Replica:
    """An index with its fakes."""

    def __init__(self, *, is_shared: bool = True) -> None:
        self.store = FakeStore()
        self.feed = FakeFeed()
        self.lock = FakeLock(is_shared=is_shared)
        self.index = SyncedIndex(self.store, self.lock, self.feed)

    async def write(self, name: str, *, is_complete: bool = True) -> None:
        async with self.index.writing():
            self.store.articles.append(article(name))
            self.index.stage({("default", name): article(name)})
            await self.index.commit(is_changed=True, is_complete=is_complete)

    def documents(self) -> set[str]:
        return {row.document for row in self.index.passages.rows}


async def test_first_write_to_a_shared_store_loads_it_and_later_ones_do_not() -> None:
    """A writer that crashed before may have stored articles without publishing them."""
    replica = Replica()
    await replica.index.load()
    assert replica.store.taken_calls() == ["refresh", "read"]
    await replica.write("wifi")
    assert replica.store.taken_calls() == ["refresh", "read", "flush"]
    await replica.write("parcel")
    assert replica.store.taken_calls() == ["flush"]
    assert replica.documents() == {"refund", "wifi", "parcel"}


async def test_only_writer_never_refreshes_after_opening() -> None:
    """No other process changes the store."""
    replica = Replica(is_shared=False)
    await replica.index.load()
    await replica.write("wifi")
    assert replica.store.taken_calls() == ["read", "flush"]


async def test_incomplete_write_is_published_and_indexed_with_the_last_one() -> None:
    """Followers see a new version at once; searches see all of an import together."""
    replica = Replica(is_shared=False)
    await replica.index.load()
    await replica.write("wifi", is_complete=False)
    assert replica.feed.published == 1
    assert replica.documents() == {"refund"}
    await replica.write("parcel")
    assert replica.documents() == {"refund", "wifi", "parcel"}


async def test_foreign_write_is_refreshed_before_the_next_own_write() -> None:
    """The index gets both."""
    replica = Replica()
    await replica.index.load()
    await replica.write("wifi")
    replica.store.taken_calls()
    replica.store.articles.append(article("foreign"))
    await replica.feed.publish(is_complete=True)
    await replica.write("parcel")
    assert replica.store.taken_calls() == ["refresh", "flush", "refresh", "read"]
    assert replica.documents() == {"refund", "wifi", "foreign", "parcel"}


async def test_follower_loads_foreign_writes_only() -> None:
    """Its own writes are in the index."""
    replica = Replica()
    await replica.index.load()
    await replica.write("wifi")
    replica.store.taken_calls()
    await replica.index.follow()
    assert replica.store.taken_calls() == []
    await replica.feed.publish(is_complete=True)
    await replica.index.follow()
    assert replica.store.taken_calls() == ["refresh", "read"]


async def test_interrupted_write_is_followed_by_a_load() -> None:
    """Only the store knows the extent of the write."""
    replica = Replica()
    await replica.index.load()

    async def interrupted_write() -> None:
        async with replica.index.writing():
            replica.store.articles.append(article("half"))
            raise OSError("connection lost")

    with pytest.raises(OSError, match="lost"):
        await interrupted_write()
    assert replica.feed.published == 1, "others refresh before their next write"
    replica.store.taken_calls()
    await replica.write("wifi")
    assert replica.store.taken_calls() == ["refresh", "read", "flush"]
    assert replica.documents() == {"refund", "half", "wifi"}


async def test_lock_of_an_interrupted_writer_makes_all_processes_read_again() -> None:
    """It has published nothing, so that the version of the feed is the same as before."""
    replica = Replica()
    await replica.index.load()
    await replica.write("wifi")
    replica.store.taken_calls()
    published = replica.feed.published
    replica.store.articles.append(article("foreign"))
    replica.lock.is_published = False
    await replica.write("parcel")
    assert replica.store.taken_calls() == ["refresh", "read", "flush"]
    assert replica.documents() == {"refund", "wifi", "foreign", "parcel"}
    assert replica.feed.published == published + 2, "once for the interrupted write, once for its own"


async def test_outage_keeps_the_index_refuses_writes_and_ends_with_a_load() -> None:
    """The index is stale meanwhile."""
    replica = Replica()
    await replica.index.load()
    replica.store.is_down = True
    await replica.index.load()
    assert replica.index.is_stale
    assert replica.documents() == {"refund"}
    with pytest.raises(StoreUnavailableError):
        await replica.write("wifi")
    replica.store.is_down = False
    await replica.index.follow()
    assert not replica.index.is_stale

"""Write lock and change feed of several processes, on a real NATS."""

from __future__ import annotations

import asyncio

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_rag.adapters.kv_change_feed import KvChangeFeed
from trunkline_rag.adapters.kv_write_lock import KvWriteLock

pytestmark = pytest.mark.processes


async def test_only_one_of_many_processes_holds_the_lock(bus: Bus) -> None:
    """Every process acquires it eventually."""
    holders: list[str] = []
    done: list[str] = []

    async def write(name: str) -> None:
        async with KvWriteLock(bus, name).held():
            holders.append(name)
            await asyncio.sleep(0.02)
            assert holders == [name]
            holders.remove(name)
            done.append(name)

    await asyncio.gather(*(write(f"rag-{number}") for number in range(6)))
    assert len(done) == 6


async def test_lock_of_a_killed_process_passes_on_after_the_timeout_and_to_its_successor_at_once(bus: Bus) -> None:
    """The killed process neither releases the lock nor sends heartbeats."""
    killed = KvWriteLock(bus, "rag-1")
    await killed.acquire()
    async with KvWriteLock(bus, "rag-1").held():
        pass
    await killed.acquire()
    started = asyncio.get_running_loop().time()
    async with KvWriteLock(bus, "rag-2", heartbeat_timeout_s=1.0).held():
        assert asyncio.get_running_loop().time() - started >= 1.0


async def test_holder_learns_whether_the_last_one_has_finished(bus: Bus) -> None:
    """Not after one that failed, and not after one that was killed, for any process; a complete write ends it."""
    lock, other = KvWriteLock(bus, "rag-1"), KvWriteLock(bus, "rag-2", heartbeat_timeout_s=0.0)
    async with lock.held() as is_published:
        assert is_published, "the lock was never held"

    async def failing_write() -> None:
        async with lock.held():
            raise OSError("connection lost")

    with pytest.raises(OSError, match="lost"):
        await failing_write()
    async with other.held() as is_published:
        assert not is_published
    async with lock.held() as is_published:
        assert is_published
    await lock.acquire()
    async with other.held() as is_published:
        assert not is_published, "taken over"
    await lock.acquire()
    async with KvWriteLock(bus, "rag-1").held() as is_published:
        assert not is_published, "restarted"


async def test_block_of_a_lost_lock_ends_with_an_error(bus: Bus) -> None:
    """The other process took the lock although this one is alive."""
    other = KvWriteLock(bus, "rag-2", heartbeat_timeout_s=0.0)

    async def write() -> None:
        async with KvWriteLock(bus, "rag-1", heartbeat_timeout_s=1.0).held():
            await other.acquire()
            await asyncio.Event().wait()

    with pytest.raises(BusUnavailableError, match="taken over by another process"):
        await write()
    await other.release()


async def test_followers_are_notified_of_complete_writes_and_the_version_counts_all(bus: Bus) -> None:
    """An incomplete write changes the version without a notification."""
    publisher, follower = KvChangeFeed(bus, "rag-1"), KvChangeFeed(bus, "rag-2")
    versions: asyncio.Queue[int] = asyncio.Queue()

    async def on_change() -> None:
        versions.put_nowait(await follower.version())

    following = asyncio.ensure_future(follower.follow(on_change))
    async with asyncio.timeout(10):
        first = await versions.get()
        incomplete = await publisher.publish(is_complete=False)
        complete = await publisher.publish(is_complete=True)
        assert first < incomplete < complete
        assert await versions.get() == complete
    following.cancel()

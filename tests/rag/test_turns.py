"""WriteLock of several processes, on a real NATS: one writes, the silent are overtaken, who is overtaken hears it."""

from __future__ import annotations

import asyncio

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_rag.adapters.kv_write_lock import KvWriteLock

pytestmark = pytest.mark.processes


async def test_only_one_of_many_writes_at_a_time(bus: Bus) -> None:
    """Everybody's turn comes."""
    writing: list[str] = []
    done: list[str] = []

    async def write(name: str) -> None:
        async with KvWriteLock(bus, name).held():
            writing.append(name)
            await asyncio.sleep(0.02)
            assert writing == [name]
            writing.remove(name)
            done.append(name)

    await asyncio.gather(*(write(f"rag-{number}") for number in range(6)))
    assert len(done) == 6


async def test_silent_holder_is_overtaken_and_its_own_successor_goes_on_at_once(bus: Bus) -> None:
    """Killed in its turn: nobody says that it is over."""
    dead = KvWriteLock(bus, "rag-1")
    await dead._take()
    async with KvWriteLock(bus, "rag-1").held():
        pass
    await dead._take()
    started = asyncio.get_running_loop().time()
    async with KvWriteLock(bus, "rag-2", silence_s=1.0).held():
        assert asyncio.get_running_loop().time() - started >= 1.0


async def test_holder_that_was_overtaken_stops_with_an_error(bus: Bus) -> None:
    """It was not silent to itself; the other has the turn now."""
    other = KvWriteLock(bus, "rag-2", silence_s=0.0)

    async def write() -> None:
        async with KvWriteLock(bus, "rag-1", silence_s=1.0).held():
            await other._take()
            await asyncio.Event().wait()

    with pytest.raises(BusUnavailableError, match="has taken over"):
        await write()
    await other._write("")


async def test_others_hear_of_what_is_complete(bus: Bus) -> None:
    """And count everything."""
    teller, listener = KvWriteLock(bus, "rag-1"), KvWriteLock(bus, "rag-2")
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def on_change() -> None:
        heard.put_nowait(await listener.version())

    following = asyncio.ensure_future(listener.follow(on_change))
    first = await asyncio.wait_for(heard.get(), 10)
    half = await teller.announce(settled=False)
    whole = await teller.announce(settled=True)
    assert first < half < whole
    assert await asyncio.wait_for(heard.get(), 10) == whole
    following.cancel()

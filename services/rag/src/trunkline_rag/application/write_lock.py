"""The only process of a store: it is always its turn, and nobody else changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final


class LocalWriteLock:
    """WriteLock of a process that has the folder to itself."""

    are_shared: Final = False

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for nobody."""
        yield

    async def version(self) -> int:
        """Never changes by others."""
        return 0

    async def announce(self, *, settled: bool) -> int:
        """Nobody hears it."""
        del settled
        return 0

    async def follow(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Nothing ever happens."""
        del on_change

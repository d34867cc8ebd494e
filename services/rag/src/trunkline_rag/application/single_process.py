"""Write lock and change feed of a process that has the store to itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final


class LocalWriteLock:
    """A lock without contenders."""

    is_shared: Final = False

    @asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        """Hold the lock for the block; there is no other holder."""
        yield True


class LocalChangeFeed:
    """A feed without other writers."""

    async def version(self) -> int:
        """Return a constant: no other process writes."""
        return 0

    async def publish(self, *, is_complete: bool) -> int:
        """Do nothing: there is no subscriber."""
        del is_complete
        return 0

    async def follow(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Return at once: there are no foreign writes."""
        del on_change

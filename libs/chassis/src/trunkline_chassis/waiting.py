"""Waiting for an event, and never for ever."""

from __future__ import annotations

import asyncio


async def happens(event: asyncio.Event, *, within_s: float) -> bool:
    """Wait for an event and say whether it came in time."""
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False

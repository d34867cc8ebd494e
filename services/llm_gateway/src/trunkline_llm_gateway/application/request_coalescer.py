"""Coalescing of equal requests: requests in flight share one completion, and the latest completions can be cached.

Only for completions that are deterministic and not streamed: temperature 0, no stream, no tools. Summaries and
classifications qualify. A customer's answer does not: it is streamed, and its context is its own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec
from trunkline_chassis.cache_metrics import CACHE_HITS, CACHE_MISSES
from trunkline_protocols import codec
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.refusal import Refused

from trunkline_llm_gateway.application.in_flight import Deadline

_CACHE: Final = "completions"

Run: TypeAlias = Callable[[Complete, Deadline], Awaitable[CompletionReply]]


def is_shareable(request: Complete) -> bool:
    """Return whether every caller of an equal request may receive the same reply."""
    return request.temperature == 0 and request.stream_to is None and not request.tools


class RequestCoalescer:
    """Shares completions in flight and caches a bounded number of finished ones."""

    def __init__(self) -> None:
        """Start empty."""
        self._in_flight: dict[bytes, asyncio.Future[CompletionReply | None]] = {}
        self._cached: OrderedDict[bytes, Completed] = OrderedDict()

    async def reply(self, request: Complete, max_cached: int, run: Run, deadline: Deadline) -> CompletionReply:
        """Reply from the cache, from a completion in flight, or by `run`."""
        key = codec.encode(msgspec.structs.replace(request, request_id="", deadline_at=0.0, timeout_s=0.0))
        cached = self._cached.get(key)
        if cached is not None and max_cached:
            self._cached.move_to_end(key)
            CACHE_HITS.labels(_CACHE).inc()
            return cached
        while (running := self._in_flight.get(key)) is not None:
            try:
                async with deadline:
                    reply = await asyncio.shield(running)
            except TimeoutError:
                code = "cancelled" if deadline.cancelled_for else "deadline"
                return Refused(code=code, message=deadline.cancelled_for or "deadline exceeded", retryable=False)
            if reply is not None:
                CACHE_HITS.labels(_CACHE).inc()
                return reply
            # The leader ended without a completion: another waiter becomes the leader.
        CACHE_MISSES.labels(_CACHE).inc()
        return await self._lead(key, request, max_cached, run, deadline)

    async def _lead(
        self, key: bytes, request: Complete, max_cached: int, run: Run, deadline: Deadline
    ) -> CompletionReply:
        future = self._in_flight[key] = asyncio.get_running_loop().create_future()
        reply: CompletionReply | None = None
        try:
            reply = await run(request, deadline)
        finally:
            del self._in_flight[key]
            future.set_result(reply if isinstance(reply, Completed) else None)
        if isinstance(reply, Completed) and max_cached and not reply.degraded:
            self._cached[key] = reply
            while len(self._cached) > max_cached:
                self._cached.popitem(last=False)
        return reply

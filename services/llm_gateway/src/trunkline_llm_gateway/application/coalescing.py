"""Equal orders answered once: those in flight share one completion, and where it is configured the last ones are kept.

Only for completions that come out the same every time and that nobody watches being written: temperature 0, no
stream, no tools. Summaries and classifications are such. A customer's answer is not: it is streamed, and its context is
its own.
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
from trunkline_protocols.knowledge import Refused

from trunkline_llm_gateway.application.in_flight import Deadline

_CACHE: Final = "completions"

Run: TypeAlias = Callable[[Complete, Deadline], Awaitable[CompletionReply]]


def is_shareable(request: Complete) -> bool:
    """Whether the same order gets the same answer, whoever asks."""
    return request.temperature == 0 and request.stream_to is None and not request.tools


class RequestCoalescer:
    """Completions in flight and, up to a number, those before."""

    def __init__(self) -> None:
        """Start with none."""
        self._in_flight: dict[bytes, asyncio.Future[CompletionReply | None]] = {}
        self._kept: OrderedDict[bytes, Completed] = OrderedDict()

    async def reply(self, request: Complete, most_kept: int, run: Run, deadline: Deadline) -> CompletionReply:
        """Answer from what is kept, from what is in flight, or by `run`."""
        key = codec.encode(msgspec.structs.replace(request, request_id="", deadline_at=0.0))
        kept = self._kept.get(key)
        if kept is not None and most_kept:
            self._kept.move_to_end(key)
            CACHE_HITS.labels(_CACHE).inc()
            return kept
        while (running := self._in_flight.get(key)) is not None:
            try:
                async with deadline:
                    reply = await asyncio.shield(running)
            except TimeoutError:
                code = "cancelled" if deadline.cancelled_for else "deadline"
                return Refused(code=code, message=deadline.cancelled_for or "no answer in time", retryable=False)
            if reply is not None:
                CACHE_HITS.labels(_CACHE).inc()
                return reply
            # Who ran it has left without an answer: now it is somebody else's turn.
        CACHE_MISSES.labels(_CACHE).inc()
        return await self._lead(key, request, most_kept, run, deadline)

    async def _lead(
        self, key: bytes, request: Complete, most_kept: int, run: Run, deadline: Deadline
    ) -> CompletionReply:
        future = self._in_flight[key] = asyncio.get_running_loop().create_future()
        reply: CompletionReply | None = None
        try:
            reply = await run(request, deadline)
        finally:
            del self._in_flight[key]
            future.set_result(reply if isinstance(reply, Completed) else None)
        if isinstance(reply, Completed) and most_kept and not reply.degraded:
            self._kept[key] = reply
            while len(self._kept) > most_kept:
                self._kept.popitem(last=False)
        return reply

"""The completions under way, by the names under which they can be stopped."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, TypeAlias

from trunkline_protocols.completion import CancelCompletion, Complete

_MOST_GONE: Final = 1_000

_Try: TypeAlias = tuple[int, int]
"""Hop and attempt: which try at a turn ordered a completion."""


class Deadline:
    """The end of one completion: at its time, or now when it is cancelled. A block inside ends with TimeoutError.

    One block at a time: `async with deadline: ...`
    """

    def __init__(self, at: float) -> None:
        """`at` is the loop's time."""
        self.at = at
        self.cancelled_for = ""
        self._scope: asyncio.Timeout | None = None

    async def __aenter__(self) -> Self:
        """Begin a block that ends at the deadline."""
        if self.cancelled_for:
            raise TimeoutError
        self._scope = asyncio.timeout_at(self.at)
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        scope, self._scope = self._scope, None
        if scope is not None:
            await scope.__aexit__(kind, error, trace)

    def cancel(self, reason: str) -> None:
        """Stop now; too late is no fault."""
        if self.cancelled_for:
            return
        self.cancelled_for = reason or "cancelled"
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())


class InFlightCompletions:
    """Who can be stopped."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._gone: OrderedDict[str, str] = OrderedDict()
        """Turns that nobody waits for any more, and why: their next completion may come after the news."""
        self._by_name: defaultdict[str, list[tuple[_Try, Deadline]]] = defaultdict(list)

    @contextmanager
    def under_way(self, request: Complete, deadline: Deadline) -> Iterator[None]:
        """Make a completion stoppable while the block runs."""
        names, entry = _names(request), (_try(request), deadline)
        for name in names:
            self._by_name[name].append(entry)
            if name in self._gone:
                deadline.cancel(self._gone[name])
        try:
            yield
        finally:
            for name in names:
                same = self._by_name[name]
                same.remove(entry)
                if not same:
                    del self._by_name[name]

    def cancel(self, message: CancelCompletion) -> int:
        """Stop what a message names; returns how many completions that were."""
        named = (f"turn {message.turn}", f"request {message.request_id}")
        before = (message.hop, message.attempt) if message.attempt else None
        if message.turn and before is None:
            self._gone[named[0]] = message.reason
            while len(self._gone) > _MOST_GONE:
                self._gone.popitem(last=False)
        entries = [entry for name in named if name in self._by_name for entry in self._by_name[name]]
        found = [deadline for one, deadline in entries if before is None or one < before]
        for deadline in found:
            deadline.cancel(message.reason)
        return len(found)


def _try(request: Complete) -> _Try:
    target = request.stream_to
    return (target.ref.hop, target.ref.attempt) if target is not None else (0, 0)


def _names(request: Complete) -> list[str]:
    """Name an order by its request, else by the source of its deltas, and by the turn that it belongs to."""
    target = request.stream_to
    request_id = request.request_id or (target.source if target is not None else "")
    return [
        *([f"request {request_id}"] if request_id else []),
        *([f"turn {target.ref.turn}"] if target is not None else []),
    ]

"""Deadlines of the completions in flight, indexed by the names under which they can be cancelled."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, TypeAlias

from trunkline_protocols.completion import CancelCompletion, Complete

_MAX_CANCELLED_TURNS: Final = 1_000

_AttemptNumber: TypeAlias = tuple[int, int]
"""Hop and attempt of the turn that requested a completion."""


class Deadline:
    """The time limit of one completion, brought forward when it is cancelled; a block inside ends with TimeoutError.

    One block at a time: `async with deadline: ...`
    """

    def __init__(self, at: float) -> None:
        """`at` is the event loop's time."""
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
        """End the block."""
        scope, self._scope = self._scope, None
        if scope is not None:
            await scope.__aexit__(kind, error, trace)

    def cancel(self, reason: str) -> None:
        """Expire now; no-op if already cancelled or expired."""
        if self.cancelled_for:
            return
        self.cancelled_for = reason or "cancelled"
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())


class InFlightCompletions:
    """Index of cancellable completions."""

    def __init__(self) -> None:
        """Start empty."""
        self._cancelled_turns: OrderedDict[str, str] = OrderedDict()
        """Name of a cancelled turn -> reason: its next completion may be requested after the cancellation arrives."""
        self._by_name: defaultdict[str, list[tuple[_AttemptNumber, Deadline]]] = defaultdict(list)

    @contextmanager
    def register(self, request: Complete, deadline: Deadline) -> Iterator[None]:
        """Make a completion cancellable while the block runs."""
        names, entry = _names(request), (_attempt_number(request), deadline)
        for name in names:
            self._by_name[name].append(entry)
            if name in self._cancelled_turns:
                deadline.cancel(self._cancelled_turns[name])
        try:
            yield
        finally:
            for name in names:
                entries = self._by_name[name]
                entries.remove(entry)
                if not entries:
                    del self._by_name[name]

    def cancel(self, message: CancelCompletion) -> int:
        """Cancel the completions that a message names; return their number."""
        names = (f"turn {message.turn}", f"request {message.request_id}")
        before = (message.hop, message.attempt) if message.attempt else None
        if message.turn and before is None:
            self._cancelled_turns[names[0]] = message.reason
            while len(self._cancelled_turns) > _MAX_CANCELLED_TURNS:
                self._cancelled_turns.popitem(last=False)
        entries = [entry for name in names if name in self._by_name for entry in self._by_name[name]]
        matching = [deadline for number, deadline in entries if before is None or number < before]
        for deadline in matching:
            deadline.cancel(message.reason)
        return len(matching)


def _attempt_number(request: Complete) -> _AttemptNumber:
    target = request.stream_to
    return (target.ref.hop, target.ref.attempt) if target is not None else (0, 0)


def _names(request: Complete) -> list[str]:
    """Return the names of a request: its id, or by default the source of its deltas, and its turn."""
    target = request.stream_to
    request_id = request.request_id or (target.source if target is not None else "")
    return [
        *([f"request {request_id}"] if request_id else []),
        *([f"turn {target.ref.turn}"] if target is not None else []),
    ]

"""Idle conversations, and the turns that wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Generic, TypeVar

from trunkline_cli.bench.load.core.schedule import Arrival

C = TypeVar("C")
MAX_WAIT_S: Final = 10.0
"""A turn that finds no idle conversation for this long is skipped."""


class IdlePool(Generic[C]):
    """Conversations that wait for no answer, the longest idle one first. A turn without one waits in order."""

    def __init__(self, idle: Iterable[C]) -> None:
        """Begin with idle conversations."""
        self._idle = deque(idle)
        self._waiting: deque[Arrival] = deque()
        self.delayed = 0
        """Turns that had to wait for a conversation and got one."""
        self.skipped: list[Arrival] = []

    @property
    def has_waiting(self) -> bool:
        """Whether a turn waits for a conversation."""
        return bool(self._waiting)

    def take(self, arrival: Arrival) -> C | None:
        """Return a conversation for a turn; None if the turn has to wait for `release`."""
        if self._idle:
            return self._idle.popleft()
        self._waiting.append(arrival)
        return None

    def release(self, conversation: C, at_s: float) -> Arrival | None:
        """Make a conversation idle, or return the turn that it has to send at once."""
        self.expire(at_s)
        if not self._waiting:
            self._idle.append(conversation)
            return None
        self.delayed += 1
        return self._waiting.popleft()

    def expire(self, at_s: float) -> None:
        """Skip the turns that have waited for too long at a time in seconds after the start."""
        while self._waiting and self._waiting[0].at_s < at_s - MAX_WAIT_S:
            self.skipped.append(self._waiting.popleft())

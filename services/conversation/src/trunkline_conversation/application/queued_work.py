"""One request in the work queue: it waits there, was just taken by an agents process, or was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_protocols.subjects import QueueColour
from trunkline_protocols.turn import AnswerTurn

from trunkline_conversation.ports import WorkQueue

_log: Final = structlog.get_logger(__name__)
_FALLBACKS: Final = Counter(
    "trunkline_work_fallbacks_total",
    "Requests queued for the agents of another release than the conversation's, because none of its own was ready",
)


class QueuedWork:
    """Follows a request whose claim is overdue."""

    def __init__(
        self, queue: WorkQueue, request: AnswerTurn, wanted: str, queue_of: Callable[[str, str], QueueColour]
    ) -> None:
        """Start with a request that is not yet enqueued.

        `wanted` is the colour of the conversation; `queue_of` returns the queue for a colour and a specialty now.
        """
        self._queue = queue
        self._request = request
        self._wanted = wanted
        self._queue_of = queue_of
        self._position = 0
        self._was_taken = False
        self.is_waiting = False
        """Whether the queue still had the request at the last look."""

    @property
    def _colour(self) -> QueueColour:
        return self._queue_of(self._wanted, self._request.specialty)

    async def enqueue(self) -> None:
        """Append the request to its queue."""
        self._position = await self._queue.enqueue(self._request, self._counted())

    async def was_just_taken(self) -> bool:
        """Look; return whether the queue no longer has the request for the first time.

        Its claim may be on the way: published again now, the turn could be answered twice.
        """
        self.is_waiting = await self._queue.holds(self._request, self._position, self._colour)
        if self.is_waiting or self._was_taken:
            return False
        self._was_taken = True
        return True

    async def requeue_if_lost(self) -> None:
        """Append the request again if the last look did not find it."""
        if not self.is_waiting:
            self._position = await self._queue.requeue(self._request, self._position, self._counted())
            self._was_taken = False

    def _counted(self) -> QueueColour:
        """Return the queue of the request now, and count another one than the conversation's."""
        colour = self._colour
        if colour != self._wanted:
            _FALLBACKS.inc()
            ref = self._request.ref
            _log.warning("work.fallback", turn=ref.turn, specialty=self._request.specialty, colour=colour)
        return colour

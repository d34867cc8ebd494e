"""One request in the work queue: it waits there, was just taken by an agents process, or was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

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

WorkState = Literal["queued", "taken", "lost", "unknown"]
"""`taken`: gone from the queue for the first time; `unknown`: the queue does not answer."""


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
        self._colour: QueueColour = ""
        """Colour of the queue that has the request."""
        self._position = 0
        self._was_taken = False

    async def enqueue(self) -> None:
        """Append the request to its queue."""
        self._choose_queue()
        self._position = await self._queue.enqueue(self._request, self._colour)

    async def state(self) -> WorkState:
        """Look the request up.

        The claim of one that was just taken may be on the way: published again now, the turn could be answered twice.
        In the queue of a colour whose last process is gone it waits for nothing, and is lost.
        """
        if self._queue_of(self._colour, self._request.specialty) != self._colour:
            return "lost"
        is_held = await self._queue.holds(self._request, self._position)
        if is_held is None:
            return "unknown"
        if is_held:
            return "queued"
        if self._was_taken:
            return "lost"
        self._was_taken = True
        return "taken"

    async def requeue(self) -> None:
        """Append the request again, which was lost."""
        self._choose_queue()
        self._position = await self._queue.requeue(self._request, self._position, self._colour)
        self._was_taken = False

    def _choose_queue(self) -> None:
        """Choose the queue of the request now, and count another colour than the conversation's."""
        specialty = self._request.specialty
        self._colour = self._queue_of(self._wanted, specialty)
        if self._colour != self._wanted:
            _FALLBACKS.inc()
            _log.warning("work.fallback", turn=self._request.ref.turn, specialty=specialty, colour=self._colour)

"""One request in the work queue: it waits there, was just taken by an agents process, or was lost."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.turn import AnswerTurn

from trunkline_conversation.ports import WorkQueue

WorkState = Literal["queued", "taken", "lost", "unknown"]
"""`taken`: gone from the queue for the first time; `unknown`: the queue does not answer."""


class QueuedWork:
    """Follows a request whose claim is overdue."""

    def __init__(self, queue: WorkQueue, request: AnswerTurn) -> None:
        """Start with a request that is not yet enqueued."""
        self._queue = queue
        self._request = request
        self._position = 0
        self._was_taken = False

    async def enqueue(self) -> None:
        """Append the request to its queue."""
        self._position = await self._queue.enqueue(self._request)

    async def state(self) -> WorkState:
        """Look the request up.

        The claim of one that was just taken may be on the way: published again now, the turn could be answered twice.
        """
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
        self._position = await self._queue.requeue(self._request, self._position)
        self._was_taken = False

"""One request in the work queue: it waits there, was just taken by an agents process, or was lost."""

from __future__ import annotations

from trunkline_protocols.turn import AnswerTurn

from trunkline_conversation.ports import WorkQueue


class QueuedWork:
    """Follows a request whose claim is overdue."""

    def __init__(self, queue: WorkQueue, request: AnswerTurn) -> None:
        """Start with a request that is not yet enqueued."""
        self._queue = queue
        self._request = request
        self._position = 0
        self._was_taken = False
        self.is_waiting = False
        """Whether the queue still had the request at the last look."""

    async def enqueue(self) -> None:
        """Append the request to its queue."""
        self._position = await self._queue.enqueue(self._request)

    async def was_just_taken(self) -> bool:
        """Look; return whether the queue no longer has the request for the first time.

        Its claim may be on the way: published again now, the turn could be answered twice.
        """
        self.is_waiting = await self._queue.holds(self._request, self._position)
        if self.is_waiting or self._was_taken:
            return False
        self._was_taken = True
        return True

    async def requeue_if_lost(self) -> None:
        """Append the request again if the last look did not find it."""
        if not self.is_waiting:
            self._position = await self._queue.requeue(self._request, self._position)
            self._was_taken = False

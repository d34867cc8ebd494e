"""The in-memory work queue on JetStream."""

from __future__ import annotations

from trunkline_chassis.bus import STREAM_NOT_FOUND, Bus
from trunkline_chassis.errors import BusError, BusRefusedError
from trunkline_protocols import codec, streams
from trunkline_protocols.subjects import QueueColour
from trunkline_protocols.turn import AnswerTurn


class JetStreamWorkQueue:
    """Implements the port `WorkQueue` on stream WORK; a position is a stream sequence."""

    def __init__(self, bus: Bus) -> None:
        """Publish over `bus`."""
        self._bus = bus

    async def enqueue(self, request: AnswerTurn, colour: QueueColour) -> int:
        """Append a request and return its sequence."""
        return await self._append(request, colour, after=0)

    async def holds(self, request: AnswerTurn, position: int) -> bool | None:
        """Return whether the stream still has a request: a message is removed once it is acknowledged."""
        try:
            waiting = await self._bus.get_message(streams.WORK.name, position)
        except BusRefusedError as error:
            return False if error.code == STREAM_NOT_FOUND else None
        except BusError:
            return None
        # The payload is compared because a re-created stream may hold another request at this sequence.
        return waiting is not None and waiting.payload == codec.encode(request)

    async def requeue(self, request: AnswerTurn, position: int, colour: QueueColour) -> int:
        """Append a request that was lost after `position`, or waits there for a process that is gone."""
        return await self._append(request, colour, after=position)

    async def _append(self, request: AnswerTurn, colour: QueueColour, *, after: int) -> int:
        """Append under a message id that deduplicates retries of this append only.

        The id contains the dispatch time: after a restart the same turn must be enqueued again, because results of the
        earlier request went to the previous process. It also contains the position at which the request was lost.
        """
        ref = request.ref
        message_id = f"{ref.turn}-{ref.hop}-{ref.attempt}-{request.dispatched_at:.6f}-{after}"
        subject = streams.work_subject(request.specialty, request.lane, colour)
        return (await self._bus.append(subject, codec.encode(request), message_id=message_id)).seq

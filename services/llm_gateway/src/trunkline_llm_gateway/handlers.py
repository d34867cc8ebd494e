"""Message to use case.

llm.<region>.complete   Complete           -> `Completions.complete`   request, one gateway of the region replies
llm.<region>.cancel     CancelCompletion   -> `Completions.cancel`     published to every gateway of the region
"""

from __future__ import annotations

from typing import Final, Protocol

import structlog
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.rpc import Responder
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply

_log: Final = structlog.get_logger(__name__)


class Completions(Protocol):
    """Writes and cancels completions."""

    async def complete(self, request: Complete) -> CompletionReply:
        """Write one completion."""
        ...

    def cancel(self, message: CancelCompletion) -> None:
        """Stop completions that no requester waits for."""
        ...


async def serve(bus: Bus, region: str, completions: Completions, responder: Responder) -> None:
    """Subscribe to the requests and cancellations of one region."""

    async def on_cancel(message: Msg) -> None:
        try:
            completions.cancel(codec.cancel_completion.decode(message.data))
        except codec.DecodeError as error:
            _log.warning("llm.cancel_undecodable", error=str(error))

    await bus.subscribe(subjects.cancel_completion(region), on_cancel)
    await responder.serve(subjects.complete(region), codec.complete, completions.complete)

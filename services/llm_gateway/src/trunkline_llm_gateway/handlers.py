"""Message handlers of the gateway.

llm.<region>.complete   Complete           -> `CompletionEndpoint.complete`   request to one gateway of the region
llm.<region>.cancel     CancelCompletion   -> `CompletionEndpoint.cancel`     published to all gateways of the region
"""

from __future__ import annotations

from typing import Final, Protocol

import structlog
from msgspec.structs import replace
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.residency import BorderGuard
from trunkline_chassis.rpc import Responder
from trunkline_chassis.tracing.span_types import COMPLETE
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply
from trunkline_protocols.refusal import Refused

_log: Final = structlog.get_logger(__name__)


class CompletionEndpoint(Protocol):
    """Use cases behind the subjects."""

    async def complete(self, request: Complete) -> CompletionReply:
        """Complete one request."""
        ...

    def cancel(self, message: CancelCompletion) -> None:
        """Cancel the named completions."""
        ...


async def serve(bus: Bus, borders: BorderGuard, endpoint: CompletionEndpoint, responder: Responder) -> None:
    """Subscribe to the requests and cancellations of one region; a request that names another one is refused.

    A request that names none came on a subject of this region, so it is one of its own.
    """
    region = borders.region

    async def complete(request: Complete) -> CompletionReply:
        conversation = request.stream_to.ref.conversation if request.stream_to is not None else ""
        if not borders.admits("completion", data=request.region or region, conversation=conversation):
            return Refused(code="other_region", message="this gateway serves another region", retryable=False)
        return await endpoint.complete(request if request.region else replace(request, region=region))

    async def on_cancel(message: Msg) -> None:
        try:
            endpoint.cancel(codec.cancel_completion.decode(message.data))
        except codec.DecodeError as error:
            report_undecodable("cancel_completion", message.subject, error)

    await bus.subscribe(subjects.cancel_completion(region), on_cancel)
    await responder.serve(subjects.complete(region), codec.complete, complete, span=COMPLETE)

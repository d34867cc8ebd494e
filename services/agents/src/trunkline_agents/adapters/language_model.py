"""Language model over NATS: the LLM gateways of a region, with retry and cancellation."""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

import msgspec
import structlog
from trunkline_chassis.bus import Bus
from trunkline_chassis.clock import steady_time
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import span
from trunkline_chassis.watched_requests import WatchedRequester
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply
from trunkline_protocols.refusal import Refused

_log: Final = structlog.get_logger(__name__)

_RETRY_TIMEOUT_S: Final = 15.0
_RETRY_DELAY_S: Final = 0.25
_MIN_TIMEOUT_S: Final = 0.1


class NatsLanguageModel:
    """Requests completions from any gateway of a region."""

    def __init__(self, bus: Bus, region: str) -> None:
        """`bus` is the connection of the process."""
        self._bus = bus
        self._region = region
        self._requester = WatchedRequester(bus)

    async def complete(self, request: Complete) -> CompletionReply:
        """Return a completion; if the call is cancelled, cancel the completion at the gateway too.

        If the gateway dies, its missing heartbeats end the request, and it is retried, with the same or another
        gateway, for up to 15 s; then the refusal is retryable for the conversation service.
        """
        give_up_at = min(steady_time() + _RETRY_TIMEOUT_S, request.deadline_at)
        await self._cancel_earlier_attempts(request)
        for attempt in itertools.count(1):
            try:
                timeout_s = max(_MIN_TIMEOUT_S, request.deadline_at - steady_time())
                with span(spans.REQUEST_COMPLETION) as requested:
                    requested.set(spans.ATTEMPT, attempt)
                    payload = codec.encode(msgspec.structs.replace(request, timeout_s=timeout_s))
                    raw = await self._requester.request(subjects.complete(self._region), payload, timeout_s=timeout_s)
                return codec.completion_reply.decode(raw)
            except (BusUnavailableError, codec.DecodeError) as error:
                _log.warning("completion.unavailable", error=str(error), attempt=attempt)
                await self._cancel(request)
                if steady_time() + _RETRY_DELAY_S >= give_up_at:
                    return Refused(code="unavailable", message=str(error), retryable=True)
                await asyncio.sleep(_RETRY_DELAY_S)
                request = _with_new_ids(request, attempt)
            except asyncio.CancelledError:
                await self._cancel(request)
                raise
        raise AssertionError("unreachable")

    async def _cancel_earlier_attempts(self, request: Complete) -> None:
        """Cancel completions of earlier attempts at the turn, whose agents may have died without doing so."""
        target = request.stream_to
        if target is not None and target.ref.attempt > 1:
            reason = "superseded by another attempt"
            await self._publish_cancel(
                CancelCompletion(turn=target.ref.turn, hop=target.ref.hop, attempt=target.ref.attempt, reason=reason)
            )

    async def _cancel(self, request: Complete) -> None:
        request_id = request.request_id or (request.stream_to.source if request.stream_to is not None else "")
        if request_id:
            await self._publish_cancel(CancelCompletion(request_id=request_id, reason="cancelled by the requester"))

    async def _publish_cancel(self, cancel: CancelCompletion) -> None:
        try:
            await self._bus.publish(subjects.cancel_completion(self._region), codec.encode(cancel))
        except BusUnavailableError as error:
            _log.warning("completion_cancel.publish_failed", error=str(error))


def _with_new_ids(request: Complete, attempt: int) -> Complete:
    """Change the ids for a retry, so that its deltas do not mix with those of a completion that is still running."""
    target = request.stream_to
    return msgspec.structs.replace(
        request,
        request_id=f"{request.request_id}-{attempt}" if request.request_id else "",
        stream_to=msgspec.structs.replace(target, source=f"{target.source}-{attempt}") if target is not None else None,
    )

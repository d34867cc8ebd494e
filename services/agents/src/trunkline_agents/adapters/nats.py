"""The agents' colleagues, over NATS."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import Passage, PassagesFound, Refused, SearchKnowledge
from trunkline_protocols.turn import AgentMessage

_log: Final = structlog.get_logger(__name__)


class NatsColleagues:
    """Knowledge base, LLM gateway and conversation service of one region."""

    def __init__(self, bus: Bus, region: str, *, search_timeout_s: float) -> None:
        """Use one connection for all."""
        self._bus = bus
        self._region = region
        self._search_timeout_s = search_timeout_s

    async def search(self, query: SearchKnowledge) -> list[Passage]:
        """Ask the knowledge service."""
        try:
            raw = await self._bus.request(
                subjects.search(self._region), codec.encode(query), timeout_s=self._search_timeout_s
            )
        except BusUnavailableError as error:
            _log.warning("search.unavailable", error=str(error))
            return []
        reply = codec.knowledge_reply.decode(raw)
        if isinstance(reply, PassagesFound):
            return reply.passages
        _log.warning("search.refused", reply=str(reply)[:200])
        return []

    async def complete(self, order: Complete) -> CompletionReply:
        """Ask the LLM gateway; when nobody waits any more, tell it so, and it stops the provider."""
        left_s = max(0.1, order.deadline_at - time.time())
        try:
            raw = await self._bus.request(subjects.complete(self._region), codec.encode(order), timeout_s=left_s)
        except BusUnavailableError as error:
            return Refused(code="unavailable", message=str(error), retryable=True)
        except asyncio.CancelledError:
            await self._cancel(order)
            raise
        return codec.completion_reply.decode(raw)

    async def _cancel(self, order: Complete) -> None:
        request = order.request or (order.stream_to.source if order.stream_to is not None else "")
        if not request:
            return
        cancel = CancelCompletion(request=request, reason="nobody waits for it any more")
        try:
            await self._bus.publish(subjects.cancel_completion(self._region), codec.encode(cancel))
        except BusUnavailableError as error:
            _log.warning("completion.not_cancelled", error=str(error))

    async def report(self, owner: Instance, message: AgentMessage) -> None:
        """Publish to the conversation process."""
        await self._bus.publish(subjects.result(owner), codec.encode(message))

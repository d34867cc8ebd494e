"""The agents' colleagues and their notice board, over NATS."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Final

import msgspec
import structlog
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.notices import Notices
from trunkline_chassis.watched_requests import WatchedRequester
from trunkline_protocols import codec, subjects
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply
from trunkline_protocols.consultation import Consult, ConsultCancelled, ConsultReply
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import Passage, PassagesFound, Refused, SearchKnowledge
from trunkline_protocols.turn import AgentMessage

_log: Final = structlog.get_logger(__name__)

_GATEWAY_PATIENCE_S: Final = 15.0
_GATEWAY_PAUSE_S: Final = 0.25


class NatsColleagues:
    """Knowledge base, LLM gateway, conversation service and other agents of one region."""

    def __init__(self, bus: Bus, region: str, *, search_timeout_s: float) -> None:
        """Use one connection for all."""
        self._bus = bus
        self._region = region
        self._search_timeout_s = search_timeout_s
        self._requester = WatchedRequester(bus)

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

    async def complete(self, request: Complete) -> CompletionReply:
        """Ask the LLM gateway; when nobody waits any more, tell it so, and it stops the provider.

        A gateway that dies is noticed by its silence, and another one, or the same one after its restart, is asked: for
        some seconds, then the turn is tried by others.
        """
        give_up_at = min(time.time() + _GATEWAY_PATIENCE_S, request.deadline_at)
        await self._overtake(request)
        for attempts in itertools.count(1):
            try:
                left_s = max(0.1, request.deadline_at - time.time())
                raw = await self._requester.request(
                    subjects.complete(self._region), codec.encode(request), timeout_s=left_s
                )
            except BusUnavailableError as error:
                _log.warning("completion.unavailable", error=str(error), attempts=attempts)
                await self._cancel(request)
                if time.time() + _GATEWAY_PAUSE_S >= give_up_at:
                    return Refused(code="unavailable", message=str(error), retryable=True)
                await asyncio.sleep(_GATEWAY_PAUSE_S)
                request = _anew(request, attempts)
            except asyncio.CancelledError:
                await self._cancel(request)
                raise
            else:
                return codec.completion_reply.decode(raw)
        raise AssertionError("counting does not end")

    async def _overtake(self, request: Complete) -> None:
        """Stop what the tries before this one have ordered: they were given up, and may have died without a word."""
        target = request.stream_to
        if target is not None and target.ref.attempt > 1:
            reason = "another try at the turn has begun"
            await self._tell(
                CancelCompletion(turn=target.ref.turn, hop=target.ref.hop, attempt=target.ref.attempt, reason=reason)
            )

    async def _cancel(self, request: Complete) -> None:
        request_id = request.request_id or (request.stream_to.source if request.stream_to is not None else "")
        if request_id:
            await self._tell(CancelCompletion(request_id=request_id, reason="nobody waits for it any more"))

    async def _tell(self, cancel: CancelCompletion) -> None:
        try:
            await self._bus.publish(subjects.cancel_completion(self._region), codec.encode(cancel))
        except BusUnavailableError as error:
            _log.warning("completion.not_cancelled", error=str(error))

    async def report(self, owner: Instance, message: AgentMessage) -> None:
        """Publish to the conversation process."""
        await self._bus.publish(subjects.result(owner), codec.encode(message))

    async def consult(self, question: Consult) -> None:
        """Append to the work queue, ahead of what nobody waits for yet."""
        await self._bus.append(
            subjects.work(question.specialty, "high"), codec.encode(question), message_id=question.consultation
        )

    async def cancel_consult(self, specialty: str, cancelled: ConsultCancelled) -> None:
        """Publish to all processes of the specialty."""
        await self._bus.publish(subjects.consult_cancelled(specialty), codec.encode(cancelled))

    async def advise(self, requester: Instance, reply: ConsultReply) -> None:
        """Publish to the process that asked."""
        await self._bus.publish(subjects.advice(requester), codec.encode(reply))


class PendingNotices:
    """Broadcasts for agents."""

    def __init__(self, notices: Notices) -> None:
        """Read what the process follows."""
        self._notices = notices

    def for_agents(self, *, tenant: str, specialty: str) -> list[NoticePublished]:
        """Read what is in force now."""
        return self._notices.active("agents", tenant=tenant, specialty=specialty)


def _anew(request: Complete, attempts: int) -> Complete:
    """Name the order anew: pieces of a completion that still runs somewhere must not mix with those of the next."""
    target = request.stream_to
    return msgspec.structs.replace(
        request,
        request_id=f"{request.request_id}-{attempts}" if request.request_id else "",
        stream_to=msgspec.structs.replace(target, source=f"{target.source}-{attempts}") if target is not None else None,
    )

"""Knowledge base, result sink, consultations and notices over NATS."""

from __future__ import annotations

from typing import Final

import structlog
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.notices import Notices
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import span
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.consultation import Consult, ConsultCancelled, ConsultReply
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import AnalyseMessage, MessageAnalysed, Passage, PassagesFound, SearchKnowledge
from trunkline_protocols.refusal import Refused
from trunkline_protocols.subjects import QueueColour
from trunkline_protocols.turn import AgentMessage

_log: Final = structlog.get_logger(__name__)
_ANALYSIS_TIMEOUT_S: Final = 1.0
"""Timeout of an analysis; after it, the message is routed by its words."""


class NatsKnowledgeBase:
    """Requests searches from any knowledge service of a region."""

    def __init__(self, bus: Bus, region: str, *, timeout_s: float) -> None:
        """`timeout_s` bounds a search."""
        self._bus = bus
        self._region = region
        self._timeout_s = timeout_s

    async def search(self, query: SearchKnowledge) -> list[Passage]:
        """Return the best passages; an empty list if the service is unavailable or refuses the query."""
        with span(spans.RETRIEVE) as searched:
            passages = await self._search(query)
            searched.set(spans.PASSAGES, len(passages))
        return passages

    async def _search(self, query: SearchKnowledge) -> list[Passage]:
        try:
            raw = await self._bus.request(subjects.search(self._region), codec.encode(query), timeout_s=self._timeout_s)
            reply = codec.knowledge_reply.decode(raw)
        except (BusUnavailableError, codec.DecodeError) as error:
            _log.warning("search.unavailable", error=str(error))
            return []
        if isinstance(reply, PassagesFound):
            return reply.passages
        _log.warning("search.refused", code=reply.code if isinstance(reply, Refused) else type(reply).__name__)
        return []

    async def analyse(self, request: AnalyseMessage) -> MessageAnalysed:
        """Return the analysis of a message; an empty one if the service is unavailable or refuses it."""
        with span(spans.ANALYSE) as analysed:
            analysis = await self._analyse(request)
            analysed.set(spans.PASSAGES, len(analysis.passages or ()))
        return analysis

    async def _analyse(self, request: AnalyseMessage) -> MessageAnalysed:
        try:
            raw = await self._bus.request(
                subjects.analyse(self._region), codec.encode(request), timeout_s=_ANALYSIS_TIMEOUT_S
            )
            reply = codec.knowledge_reply.decode(raw)
        except (BusUnavailableError, codec.DecodeError) as error:
            _log.warning("analysis.unavailable", error=str(error))
            return MessageAnalysed()
        return reply if isinstance(reply, MessageAnalysed) else MessageAnalysed()


class NatsResultSink:
    """Publishes to conversation processes."""

    def __init__(self, bus: Bus) -> None:
        """`bus` is the connection of the process."""
        self._bus = bus

    async def report(self, recipient: Instance, message: AgentMessage) -> None:
        """Publish to one conversation process."""
        await self._bus.publish(subjects.result(recipient), codec.encode(message))


class NatsConsultations:
    """Publishes requests, cancellations and replies of consultations."""

    def __init__(self, bus: Bus, colour: QueueColour) -> None:
        """`bus` is the connection of the process; specialists of its own `colour` are consulted."""
        self._bus = bus
        self._colour = colour

    async def request(self, consult: Consult) -> None:
        """Append to the work queue, with high priority because an answer waits for it."""
        await self._bus.append(
            streams.work_subject(consult.specialty, "high", self._colour),
            codec.encode(consult),
            message_id=consult.consultation,
        )

    async def cancel(self, specialty: str, cancelled: ConsultCancelled) -> None:
        """Publish to all processes of the specialty."""
        await self._bus.publish(subjects.consult_cancelled(specialty), codec.encode(cancelled))

    async def reply(self, recipient: Instance, reply: ConsultReply) -> None:
        """Publish to the process that requested the consultation."""
        await self._bus.publish(subjects.advice(recipient), codec.encode(reply))


class ActiveNotices:
    """Active broadcasts for agents."""

    def __init__(self, notices: Notices) -> None:
        """`notices` is the process' view of the stream."""
        self._notices = notices

    def for_agents(self, *, tenant: str, specialty: str) -> list[NoticePublished]:
        """Return the active notices for agents of a specialty, oldest first."""
        return self._notices.active("agents", tenant=tenant, specialty=specialty)

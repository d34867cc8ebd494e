"""Client side of consultations: concurrent requests, each with an idle timeout and a deadline."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter
from trunkline_chassis.clock import steady_time
from trunkline_chassis.errors import BusError
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import span
from trunkline_protocols.consultation import (
    Advice,
    AdviceRefused,
    Consult,
    Consultation,
    ConsultCancelled,
    ConsultOutcome,
    ConsultProgress,
    ConsultReply,
)
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.core.consultations import PlannedConsultation
from trunkline_agents.ports import Consultations

_log: Final = structlog.get_logger(__name__)
_CONSULTATIONS: Final = Counter("trunkline_consultations_total", "Consultations by outcome", ["outcome"])
_MAX_PENDING_REPLIES: Final = 1_000


class ConsultationClient:
    """Consults specialists on behalf of the agents of this process."""

    def __init__(
        self,
        consultations: Consultations,
        instance: Instance,
        *,
        idle_timeout_s: float,
        timeout_s: float,
    ) -> None:
        """`idle_timeout_s` bounds the time without progress, `timeout_s` the whole consultation."""
        self._consultations = consultations
        self._instance = instance
        self._idle_timeout_s = idle_timeout_s
        self._timeout_s = timeout_s
        self._replies: dict[str, asyncio.Queue[ConsultReply]] = {}

    def on_reply(self, reply: ConsultReply) -> None:
        """Pass a reply to its waiting request; a late reply is counted and dropped."""
        replies = self._replies.get(reply.consultation)
        if replies is not None:
            replies.put_nowait(reply)
        elif not isinstance(reply, ConsultProgress):
            _CONSULTATIONS.labels("late_reply").inc()
            _log.info("consultation.reply_late", consultation=reply.consultation)

    async def consult_all(self, request: AnswerTurn, planned: list[PlannedConsultation]) -> list[Consultation]:
        """Consult several specialists concurrently; a specialist without advice does not raise."""
        return list(
            await asyncio.gather(
                *(self.consult(request, question, number=number) for number, question in enumerate(planned, start=1))
            )
        )

    async def consult(self, request: AnswerTurn, question: PlannedConsultation, *, number: int) -> Consultation:
        """Consult one specialist and wait for advice, refusal or timeout; `number` is unique in the attempt."""
        now = steady_time()
        consult = Consult(
            consultation=f"{request.ref.turn}-{request.ref.hop}-{request.ref.attempt}-{request.specialty}-{number}",
            ref=request.ref,
            specialty=Specialty(question.choice.specialty),
            agent=question.choice.agent.name,
            requested_by=request.specialty,
            question=question.text,
            context=request.context,
            depth=1,
            reply_to=self._instance,
            requested_at=now,
            deadline_at=min(request.deadline_at, now + self._timeout_s),
            fleet_version=request.fleet_version,
        )
        replies = self._replies[consult.consultation] = asyncio.Queue(maxsize=_MAX_PENDING_REPLIES)
        try:
            consultation = await self._ask(consult, replies)
        except BusError as error:
            consultation = _without_advice(consult, "refused", str(error))
        finally:
            del self._replies[consult.consultation]
        _CONSULTATIONS.labels(consultation.outcome).inc()
        return consultation

    async def _ask(self, consult: Consult, replies: asyncio.Queue[ConsultReply]) -> Consultation:
        with span(spans.CONSULT) as asked:
            asked.set(spans.SPECIALTY, consult.specialty)
            asked.set(spans.AGENT, consult.agent)
            asked.set(spans.CONSULTATION, consult.consultation)
            await self._consultations.request(consult)
            consultation = await self._wait(consult, replies)
            asked.set(spans.OUTCOME, consultation.outcome)
        return consultation

    async def _wait(self, consult: Consult, replies: asyncio.Queue[ConsultReply]) -> Consultation:
        while True:
            left_s = consult.deadline_at - steady_time()
            try:
                async with asyncio.timeout(max(0.0, min(self._idle_timeout_s, left_s))):
                    reply = await replies.get()
            except TimeoutError:
                is_idle = left_s > self._idle_timeout_s
                reason = f"no progress for {self._idle_timeout_s:g} s" if is_idle else "deadline exceeded"
                await self._consultations.cancel(consult.specialty, ConsultCancelled(consultation=consult.consultation))
                return _without_advice(consult, "timeout" if is_idle else "too_late", reason)
            match reply:
                case ConsultProgress():
                    continue
                case AdviceRefused(reason=reason):
                    refused = _without_advice(consult, "refused", reason)
                    return msgspec.structs.replace(
                        refused, provider=reply.provider, model=reply.model, usage=reply.usage
                    )
                case Advice():
                    return _advised(consult, reply)


def _advised(consult: Consult, advice: Advice) -> Consultation:
    return Consultation(
        consultation=consult.consultation,
        specialty=consult.specialty,
        agent=advice.agent,
        question=consult.question,
        outcome="advised",
        advice=advice.text,
        citations=advice.citations,
        usage=advice.usage,
        took_ms=_elapsed_ms(consult),
        work_ms=advice.work_ms,
        provider=advice.provider,
        model=advice.model,
        retrieved=advice.retrieved,
    )


def _without_advice(consult: Consult, outcome: ConsultOutcome, reason: str) -> Consultation:
    return Consultation(
        consultation=consult.consultation,
        specialty=consult.specialty,
        agent=consult.agent,
        question=consult.question,
        outcome=outcome,
        reason=reason,
        took_ms=_elapsed_ms(consult),
    )


def _elapsed_ms(consult: Consult) -> float:
    return round((steady_time() - consult.requested_at) * 1000, 3)

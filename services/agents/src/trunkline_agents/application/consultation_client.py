"""Asking specialists for advice: all at once, each with a timer that its progress resets, none beyond the turn."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_chassis.errors import BusError
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
from trunkline_agents.ports import Colleagues

_log: Final = structlog.get_logger(__name__)
_CONSULTATIONS: Final = Counter("trunkline_consultations_total", "Consultations by what came of them", ["outcome"])


class ConsultationClient:
    """The questions of this process that are under way."""

    def __init__(self, colleagues: Colleagues, instance: Instance, *, silence_s: float, longest_s: float) -> None:
        """A specialist that is silent for `silence_s` is given up, one that goes on and on after `longest_s`."""
        self._colleagues = colleagues
        self._instance = instance
        self._silence_s = silence_s
        self._longest_s = longest_s
        self._replies: dict[str, asyncio.Queue[ConsultReply]] = {}

    def hear(self, reply: ConsultReply) -> None:
        """Take a reply; one that nobody waits for any more is late: counted and ignored."""
        waiting = self._replies.get(reply.consultation)
        if waiting is not None:
            waiting.put_nowait(reply)
        elif not isinstance(reply, ConsultProgress):
            _CONSULTATIONS.labels("late_reply").inc()
            _log.info("consult.late_reply", consultation=reply.consultation)

    async def ask_all(
        self, request: AnswerTurn, specialty: Specialty, questions: list[PlannedConsultation]
    ) -> list[Consultation]:
        """Ask several specialists at once; never raises for one that does not answer."""
        return list(
            await asyncio.gather(
                *(
                    self.ask(request, asked_by=specialty, question=question, number=number)
                    for number, question in enumerate(questions, start=1)
                )
            )
        )

    async def ask(
        self, request: AnswerTurn, *, asked_by: Specialty, question: PlannedConsultation, number: int, depth: int = 1
    ) -> Consultation:
        """Ask one specialist and wait for the advice, its refusal, or the end of patience."""
        now = time.time()
        consult = Consult(
            consultation=f"{request.ref.turn}-{request.ref.hop}-{request.ref.attempt}-{asked_by}-{number}",
            ref=request.ref,
            specialty=Specialty(question.choice.specialty),
            agent=question.choice.agent.name,
            asked_by=asked_by,
            question=question.text,
            context=request.context,
            depth=depth,
            asker=self._instance,
            asked_at=now,
            deadline_at=min(request.deadline_at, now + self._longest_s),
        )
        replies = self._replies[consult.consultation] = asyncio.Queue(maxsize=1_000)
        try:
            await self._colleagues.consult(consult)
            consultation = await self._wait(consult, replies)
        except BusError as error:
            consultation = _without_advice(consult, "refused", str(error))
        finally:
            del self._replies[consult.consultation]
        _CONSULTATIONS.labels(consultation.outcome).inc()
        return consultation

    async def _wait(self, consult: Consult, replies: asyncio.Queue[ConsultReply]) -> Consultation:
        while True:
            left_s = consult.deadline_at - time.time()
            try:
                async with asyncio.timeout(max(0.0, min(self._silence_s, left_s))):
                    reply = await replies.get()
            except TimeoutError:
                outcome_is_silence = left_s > self._silence_s
                reason = f"silent for {self._silence_s:g} s" if outcome_is_silence else "not done before the deadline"
                await self._colleagues.cancel_consult(
                    consult.specialty, ConsultCancelled(consultation=consult.consultation, reason=reason)
                )
                return _without_advice(consult, "timeout" if outcome_is_silence else "too_late", reason)
            match reply:
                case ConsultProgress():
                    continue
                case AdviceRefused(reason=reason):
                    return _without_advice(consult, "refused", reason)
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
        took_ms=_since_ms(consult),
        work_ms=advice.work_ms,
    )


def _without_advice(consult: Consult, outcome: ConsultOutcome, reason: str) -> Consultation:
    return Consultation(
        consultation=consult.consultation,
        specialty=consult.specialty,
        agent=consult.agent,
        question=consult.question,
        outcome=outcome,
        reason=reason,
        took_ms=_since_ms(consult),
    )


def _since_ms(consult: Consult) -> float:
    return round((time.time() - consult.asked_at) * 1000, 3)

"""What work comes in, and who handles it.

AnswerTurn         -> `Desk.answer`   triage, or retrieval and completion
Consult            -> refused: consultations are not served by this version
ConsultCancelled   -> nothing: there is nothing to cancel
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Final, assert_never

import structlog
from trunkline_chassis.bus import Bus
from trunkline_chassis.delivery import Delivery, Done, Outcome, Reject
from trunkline_chassis.latency import RecentLatency
from trunkline_protocols import codec
from trunkline_protocols.completion import Complete, Completed, DeltaTarget
from trunkline_protocols.fleet import TRIAGE, Agent, Fleet
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.knowledge import Passage, SearchKnowledge
from trunkline_protocols.turn import (
    AdviceRefused,
    Answered,
    AnswerTurn,
    Consult,
    ConsultCancelled,
    HandOff,
    Retrieved,
    Routed,
    TaskClaimed,
    Timings,
    TurnFailed,
    TurnResult,
)

from trunkline_agents.beats import Beats
from trunkline_agents.core.briefing import hand_off_summary, instructions, search_query
from trunkline_agents.core.routing import Choice, Router
from trunkline_agents.ports import Colleagues

_log: Final = structlog.get_logger(__name__)

_PASSAGES: Final = 5


@dataclass(slots=True)
class Clockwork:
    """Measures where the time of one piece of work goes."""

    queued_ms: float
    marked_at: float = field(default_factory=time.perf_counter)

    def lap_ms(self) -> float:
        """Milliseconds since the last lap."""
        now = time.perf_counter()
        lap = (now - self.marked_at) * 1000
        self.marked_at = now
        return lap


class Desk:
    """Where the agents of one specialty work."""

    def __init__(
        self,
        *,
        instance: Instance,
        specialty: str,
        fleet: Fleet,
        router: Router,
        colleagues: Colleagues,
        beats: Beats,
        bus: Bus,
        latency: RecentLatency,
    ) -> None:
        """One desk a process."""
        self._instance = instance
        self._specialty = Specialty(specialty)
        self._fleet = fleet
        self._router = router
        self._colleagues = colleagues
        self._beats = beats
        self._bus = bus
        self._latency = latency
        self._sources = itertools.count(int(time.time() * 1000))

    async def handle(self, delivery: Delivery) -> Outcome:
        """Handle one delivery of the work queue. It is acknowledged already: the conversation process watches."""
        try:
            message = codec.work.decode(delivery.payload)
        except codec.DecodeError as error:
            return Reject(str(error))
        match message:
            case AnswerTurn():
                await self._work(message)
            case Consult():
                refusal = AdviceRefused(consultation=message.consultation, reason="consultations are not served yet")
                await self._bus.publish(message.reply_to, codec.encode(refusal))
            case ConsultCancelled():
                pass
            case _:
                assert_never(message)
        return Done()

    async def _work(self, order: AnswerTurn) -> None:
        now = time.time()
        if now > order.deadline_at:
            _log.warning("turn.expired", turn=order.turn)
            return
        with self._beats.working_on(order):
            await self._colleagues.report(
                order.owner,
                TaskClaimed(
                    conversation=order.conversation,
                    turn=order.turn,
                    attempt=order.attempt,
                    hop=order.hop,
                    instance=self._instance,
                ),
            )
            result = await self._result(order, Clockwork(queued_ms=(now - order.dispatched_at) * 1000))
        await self._colleagues.report(order.owner, result)
        took_ms = (time.time() - now) * 1000
        self._latency.add(took_ms)
        _log.info(
            "turn.worked",
            turn=order.turn,
            attempt=order.attempt,
            outcome=result.__struct_config__.tag,
            duration_ms=round(took_ms, 1),
        )

    async def _result(self, order: AnswerTurn, clock: Clockwork) -> TurnResult:
        try:
            return await self.answer(order, clock)
        except Exception as error:
            _log.exception("turn.failed", turn=order.turn)
            return self._failed(order, f"{type(error).__name__}: {error}", retryable=True)

    # -- one turn ---

    async def answer(self, order: AnswerTurn, clock: Clockwork) -> TurnResult:
        """Answer, route or hand over one turn."""
        if self._specialty == TRIAGE:
            choice = self._router.choose(order.text)
            if choice.specialty != TRIAGE:
                return self._routed(order, choice, clock)
            return await self._reply(order, choice.agent, clock, confidence=choice.confidence)
        agent = self._router.agent_of(self._specialty, order.text, current=order.agent)
        # Who has just been given the turn keeps it: one change of mind a turn.
        if order.hop == 0:
            elsewhere = self._router.elsewhere(agent, order.text)
            if elsewhere is not None:
                return self._hand_off(order, elsewhere, clock)
        return await self._reply(order, agent, clock)

    async def _reply(self, order: AnswerTurn, agent: Agent, clock: Clockwork, confidence: float = 0.0) -> TurnResult:
        route_ms = clock.lap_ms()
        passages = await self._colleagues.search(
            SearchKnowledge(
                query=search_query(order.text, order.context),
                tenant=order.context.tenant,
                topics=agent.knowledge.topics,
                limit=_PASSAGES,
            )
        )
        search_ms = clock.lap_ms()
        completion = await self._colleagues.complete(self._completion(order, agent, passages))
        completion_ms = clock.lap_ms()
        if not isinstance(completion, Completed):
            return self._failed(order, f"{completion.code}: {completion.message}", retryable=completion.retryable)
        return Answered(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            specialty=self._specialty,
            agent=agent.name,
            text=completion.text,
            citations=completion.citations,
            retrieved=[Retrieved(document=passage.document, score=passage.score) for passage in passages],
            owns=self._specialty != TRIAGE,
            confidence=confidence,
            provider=completion.provider,
            model=completion.model,
            usage=completion.usage,
            timings=Timings(
                queued_ms=clock.queued_ms,
                route_ms=route_ms,
                search_ms=search_ms,
                completion_ms=completion_ms,
                first_token_ms=completion.first_token_ms,
                model_ms=completion.model_ms,
            ),
            instance=self._instance,
            tries=completion.tries,
        )

    def _completion(self, order: AnswerTurn, agent: Agent, passages: list[Passage]) -> Complete:
        return Complete(
            instructions=instructions(self._fleet.company, agent),
            question=order.text,
            transcript=order.context.transcript,
            summary=order.context.summary,
            passages=passages,
            abstain=self._abstain(order),
            stream_to=DeltaTarget(
                conversation=order.conversation,
                turn=order.turn,
                attempt=order.attempt,
                hop=order.hop,
                ingress=order.ingress,
                source=f"{self._instance}-{next(self._sources)}",
            ),
            deadline_at=order.deadline_at,
            region=order.context.region,
            tenant=order.context.tenant,
        )

    def _abstain(self, order: AnswerTurn) -> str:
        company = self._fleet.company
        if self._specialty != TRIAGE:
            return company.abstain
        return company.clarify if order.context.transcript else company.greeting

    # -- results ---

    def _routed(self, order: AnswerTurn, choice: Choice, clock: Clockwork) -> Routed:
        return Routed(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            confidence=round(choice.confidence, 4),
            timings=Timings(queued_ms=clock.queued_ms, route_ms=clock.lap_ms()),
            instance=self._instance,
        )

    def _hand_off(self, order: AnswerTurn, choice: Choice, clock: Clockwork) -> HandOff:
        return HandOff(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            specialty=self._specialty,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            reason=f"this is a question for {choice.agent.title.lower()}",
            summary=hand_off_summary(order.text, order.context.transcript),
            timings=Timings(queued_ms=clock.queued_ms, route_ms=clock.lap_ms()),
            instance=self._instance,
        )

    def _failed(self, order: AnswerTurn, reason: str, *, retryable: bool) -> TurnFailed:
        return TurnFailed(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            reason=reason,
            retryable=retryable,
            instance=self._instance,
        )

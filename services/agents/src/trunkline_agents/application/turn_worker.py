"""One turn's work: routed, handed over, or answered from what was found, advised and announced."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import structlog
from trunkline_protocols.accounting import Timings
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.citations import Retrieved
from trunkline_protocols.completion import AdviceNote, Complete, Completed, DeltaTarget
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.fleet import TRIAGE, Agent
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.rules.summary import extract
from trunkline_protocols.turn import Answered, AnswerTurn, Escalate, HandOff, Routed, TurnFailed, TurnResult

from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.application.tool_loop import Decision, ToolLoop, ToolLoopResult
from trunkline_agents.core.briefing import asked_back, instructions, knowledge_search, previous_owner, search_query
from trunkline_agents.core.consultations import PlannedConsultation, plan_consultations
from trunkline_agents.core.routing.examples import said_after
from trunkline_agents.core.routing.router import Choice
from trunkline_agents.ports import Colleagues, NoticeSource, ToolFailure

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class Stopwatch:
    """Measures where the time of one piece of work goes."""

    queued_ms: float
    marked_at: float = field(default_factory=time.perf_counter)

    def lap_ms(self) -> float:
        """Milliseconds since the last lap."""
        now = time.perf_counter()
        lap = (now - self.marked_at) * 1000
        self.marked_at = now
        return lap


class TurnWorker:
    """Answers turns for one specialty."""

    def __init__(
        self,
        *,
        instance: Instance,
        specialty: str,
        colleagues: Colleagues,
        consulting: ConsultationClient,
        toolbox: ToolLoop,
        board: NoticeSource,
        summarising: HandoffSummariser,
    ) -> None:
        """One a process."""
        self._instance = instance
        self._specialty = Specialty(specialty)
        self._colleagues = colleagues
        self._consulting = consulting
        self._toolbox = toolbox
        self._board = board
        self._summarising = summarising
        self._sources = itertools.count(int(time.time() * 1000))

    async def result(self, request: AnswerTurn, expertise: FleetRouting, clock: Stopwatch) -> TurnResult:
        """Work on an order; a failure is a result too."""
        try:
            return await self._answer(request, expertise, clock)
        except Exception as error:
            _log.exception("turn.failed", turn=request.ref.turn)
            return self._failed(request, f"{type(error).__name__}: {error}", retryable=True)

    async def _answer(self, request: AnswerTurn, expertise: FleetRouting, clock: Stopwatch) -> TurnResult:
        router, vector = expertise.router, await expertise.vector(request.text)
        if self._specialty == TRIAGE:
            said = said_after(request.context.transcript, request.text)
            back = asked_back(request.context.transcript)
            choice = router.choose(said.text, vector, conversation=said.conversation, asked_back=back)
            if choice.specialty != TRIAGE:
                return self._routed(request, choice, clock)
            return await self._reply(request, choice.agent, expertise, clock, confidence=choice.confidence)
        agent = router.agent_of(self._specialty, request.text, vector, current=request.agent)
        # Who has just been given the turn keeps it: one change of mind a turn.
        if request.ref.hop == 0:
            better_specialty = router.better_specialty(
                agent, request.text, vector, came_from=previous_owner(request.context.transcript)
            )
            if better_specialty is not None:
                return await self._hand_off(request, better_specialty, clock)
        return await self._reply(request, agent, expertise, clock)

    async def _reply(
        self, request: AnswerTurn, agent: Agent, expertise: FleetRouting, clock: Stopwatch, confidence: float = 0.0
    ) -> TurnResult:
        questions = plan_consultations(expertise.router, agent, request.text) if self._specialty != TRIAGE else []
        route_ms = clock.lap_ms()
        passages, consultations = await self._gather(request, agent, questions)
        search_ms = clock.lap_ms()
        notices = self._untold(request)
        base = self._completion(request, agent, expertise, passages, consultations, notices)
        if agent.tools:
            worked = await self._with_tools(request, agent, expertise, base, passages, consultations)
        else:
            worked = ToolLoopResult(await self._colleagues.complete(base), [])
        completion_ms = clock.lap_ms()
        completion = worked.outcome
        if isinstance(completion, Decision):
            decided = await self._decided(request, completion, expertise, clock)
            return msgspec.structs.replace(decided, tools=worked.uses)
        if not isinstance(completion, Completed):
            reason, cancelled = f"{completion.code}: {completion.message}", completion.code == "cancelled"
            return self._failed(request, reason, retryable=completion.retryable, cancelled=cancelled)
        return Answered(
            ref=request.ref,
            specialty=self._specialty,
            agent=agent.name,
            text=completion.text,
            citations=completion.citations,
            retrieved=[Retrieved(document=passage.document, score=passage.score) for passage in passages],
            owns=self._specialty != TRIAGE,
            abstained=completion.abstained and self._specialty != TRIAGE,
            consultations=consultations,
            notices=[notice.notice for notice in notices],
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
            fleet_version=expertise.version,
            attempts=completion.attempts,
            tools=worked.uses,
        )

    async def _with_tools(
        self,
        request: AnswerTurn,
        agent: Agent,
        expertise: FleetRouting,
        base: Complete,
        passages: list[Passage],
        consultations: list[Consultation],
    ) -> ToolLoopResult:
        """Let the model use the agent's tools; what it searches for and is advised is recorded like our own."""

        async def search(given: dict[str, Any]) -> str:
            query = knowledge_search(given["query"], request.context, agent)
            found = [passage for passage in await self._colleagues.search(query) if passage not in passages]
            passages.extend(found)
            numbers = range(len(passages) - len(found) + 1, len(passages) + 1)
            return (
                f"Found: passages {', '.join(f'[{number}]' for number in numbers)}." if found else "Found nothing new."
            )

        async def consult(given: dict[str, Any]) -> str:
            asked = expertise.router.agent_of(given["specialty"], given["question"])
            question = PlannedConsultation(given["question"], Choice(given["specialty"], asked, 1.0))
            number = len(consultations) + 1
            advice = await self._consulting.ask(request, asked_by=self._specialty, question=question, number=number)
            consultations.append(advice)
            if advice.outcome != "advised":
                raise ToolFailure(f"no advice: {advice.reason or advice.outcome}")
            return advice.advice

        return await self._toolbox.work(
            request,
            fleet=expertise.fleet,
            agent=agent,
            base=base,
            by=base.stream_to.source if base.stream_to is not None else self._instance,
            built_in={"search_knowledge": search, "consult": consult},
            passages=passages,
        )

    async def _decided(
        self, request: AnswerTurn, decision: Decision, expertise: FleetRouting, clock: Stopwatch
    ) -> HandOff | Escalate:
        """Turn the model's decision into the fleet's protocol; the conversation service has the last word."""
        given = decision.arguments
        if decision.name == "handoff":
            agent = expertise.router.agent_of(given["specialty"], request.text)
            return await self._hand_off(request, Choice(given["specialty"], agent, 1.0), clock, reason=given["reason"])
        return Escalate(
            ref=request.ref,
            specialty=self._specialty,
            urgency=given["urgency"],
            reason=given["reason"],
            summary=extract(request.text, request.context.transcript),
            fleet_version=expertise.version,
            instance=self._instance,
        )

    async def _gather(
        self, request: AnswerTurn, agent: Agent, questions: list[PlannedConsultation]
    ) -> tuple[list[Passage], list[Consultation]]:
        """Search, and consult at the same time where there is something to ask."""
        query = knowledge_search(search_query(request.text, request.context), request.context, agent)
        if not questions:
            return await self._colleagues.search(query), []
        passages, consultations = await asyncio.gather(
            self._colleagues.search(query), self._consulting.ask_all(request, self._specialty, questions)
        )
        return passages, consultations

    def _untold(self, request: AnswerTurn) -> list[NoticePublished]:
        """Notices in force that this conversation has not been told yet."""
        told = "\n".join(said.text for said in request.context.transcript if said.role == "agent")
        in_force = self._board.for_agents(tenant=request.context.tenant, specialty=self._specialty)
        return [notice for notice in in_force if notice.text not in told]

    def _completion(
        self,
        request: AnswerTurn,
        agent: Agent,
        expertise: FleetRouting,
        passages: list[Passage],
        consultations: list[Consultation],
        notices: list[NoticePublished],
    ) -> Complete:
        return Complete(
            instructions=instructions(expertise.fleet.company, agent),
            question=request.text,
            speaker=f"{agent.title} of {expertise.fleet.company.name}",
            transcript=request.context.transcript,
            summary="\n".join(filter(None, (request.context.summary, request.context.note))),
            passages=passages,
            advice=[_note(expertise, asked) for asked in consultations if asked.outcome == "advised"],
            notices=[notice.text for notice in notices],
            abstain=self._abstain(request, expertise),
            stream_to=DeltaTarget(
                ref=request.ref,
                ingress=request.ingress,
                source=f"{self._instance}-{next(self._sources)}",
            ),
            deadline_at=request.deadline_at,
            region=request.context.region,
            tenant=request.context.tenant,
        )

    def _abstain(self, request: AnswerTurn, expertise: FleetRouting) -> str:
        company = expertise.fleet.company
        if self._specialty != TRIAGE:
            return company.abstain
        return company.clarify if request.context.transcript else company.greeting

    # -- results without an answer ---

    def _routed(self, request: AnswerTurn, choice: Choice, clock: Stopwatch) -> Routed:
        return Routed(
            ref=request.ref,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            confidence=round(choice.confidence, 4),
            timings=Timings(queued_ms=clock.queued_ms, route_ms=clock.lap_ms()),
            instance=self._instance,
        )

    async def _hand_off(self, request: AnswerTurn, choice: Choice, clock: Stopwatch, reason: str = "") -> HandOff:
        route_ms = clock.lap_ms()
        summary = await self._summarising.write(request, f"{self._instance}-{next(self._sources)}")
        return HandOff(
            ref=request.ref,
            specialty=self._specialty,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            confidence=round(choice.confidence, 4),
            reason=reason or f"this is a question for the {choice.agent.title.lower()}",
            summary=summary.text,
            model=summary.model,
            usage=summary.usage,
            timings=Timings(
                queued_ms=clock.queued_ms,
                route_ms=route_ms,
                completion_ms=clock.lap_ms(),
                model_ms=summary.model_ms,
            ),
            instance=self._instance,
        )

    def _failed(self, request: AnswerTurn, reason: str, *, retryable: bool, cancelled: bool = False) -> TurnFailed:
        return TurnFailed(
            ref=request.ref,
            reason=reason,
            retryable=retryable,
            instance=self._instance,
            cancelled=cancelled,
        )


def _note(expertise: FleetRouting, asked: Consultation) -> AdviceNote:
    """Attribute an advice to the specialist's title."""
    title = next((agent.title for agent in expertise.fleet.agents if agent.name == asked.agent), asked.specialty)
    return AdviceNote(specialty=asked.specialty, title=title, text=asked.advice, citations=asked.citations)

"""One turn's work: routed, handed over, or answered from what was found, advised and announced."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import structlog
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.completion import AdviceNote, Complete, Completed, DeltaTarget
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.fleet import TRIAGE, Agent
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.parts import Retrieved, Timings
from trunkline_protocols.summary import extract
from trunkline_protocols.turn import Answered, AnswerTurn, Escalate, HandOff, Routed, TurnFailed, TurnResult

from trunkline_agents.consulting import Consulting
from trunkline_agents.core.briefing import asked_back, instructions, knowledge_search, previous_owner, search_query
from trunkline_agents.core.consults import Question, to_consult
from trunkline_agents.core.routing import Choice
from trunkline_agents.core.said import said_after
from trunkline_agents.expertise import Expertise
from trunkline_agents.ports import Board, Colleagues, ToolFailure
from trunkline_agents.summarising import Summarising
from trunkline_agents.toolbox import Decision, Toolbox, Worked

_log: Final = structlog.get_logger(__name__)


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


class TurnWorker:
    """Answers turns for one specialty."""

    def __init__(
        self,
        *,
        instance: Instance,
        specialty: str,
        colleagues: Colleagues,
        consulting: Consulting,
        toolbox: Toolbox,
        board: Board,
        summarising: Summarising,
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

    async def result(self, order: AnswerTurn, expertise: Expertise, clock: Clockwork) -> TurnResult:
        """Work on an order; a failure is a result too."""
        try:
            return await self._answer(order, expertise, clock)
        except Exception as error:
            _log.exception("turn.failed", turn=order.turn)
            return self._failed(order, f"{type(error).__name__}: {error}", retryable=True)

    async def _answer(self, order: AnswerTurn, expertise: Expertise, clock: Clockwork) -> TurnResult:
        router, vector = expertise.router, await expertise.vector(order.text)
        if self._specialty == TRIAGE:
            said = said_after(order.context.transcript, order.text)
            back = asked_back(order.context.transcript)
            choice = router.choose(said.text, vector, conversation=said.conversation, asked_back=back)
            if choice.specialty != TRIAGE:
                return self._routed(order, choice, clock)
            return await self._reply(order, choice.agent, expertise, clock, confidence=choice.confidence)
        agent = router.agent_of(self._specialty, order.text, vector, current=order.agent)
        # Who has just been given the turn keeps it: one change of mind a turn.
        if order.hop == 0:
            elsewhere = router.elsewhere(agent, order.text, vector, came_from=previous_owner(order.context.transcript))
            if elsewhere is not None:
                return await self._hand_off(order, elsewhere, clock)
        return await self._reply(order, agent, expertise, clock)

    async def _reply(
        self, order: AnswerTurn, agent: Agent, expertise: Expertise, clock: Clockwork, confidence: float = 0.0
    ) -> TurnResult:
        questions = to_consult(expertise.router, agent, order.text) if self._specialty != TRIAGE else []
        route_ms = clock.lap_ms()
        passages, consultations = await self._gather(order, agent, questions)
        search_ms = clock.lap_ms()
        notices = self._untold(order)
        base = self._completion(order, agent, expertise, passages, consultations, notices)
        if agent.tools:
            worked = await self._with_tools(order, agent, expertise, base, passages, consultations)
        else:
            worked = Worked(await self._colleagues.complete(base), [])
        completion_ms = clock.lap_ms()
        completion = worked.outcome
        if isinstance(completion, Decision):
            decided = await self._decided(order, completion, expertise, clock)
            return msgspec.structs.replace(decided, tools=worked.uses)
        if not isinstance(completion, Completed):
            reason, cancelled = f"{completion.code}: {completion.message}", completion.code == "cancelled"
            return self._failed(order, reason, retryable=completion.retryable, cancelled=cancelled)
        return Answered(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            epoch=order.epoch,
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
            tries=completion.tries,
            tools=worked.uses,
        )

    async def _with_tools(
        self,
        order: AnswerTurn,
        agent: Agent,
        expertise: Expertise,
        base: Complete,
        passages: list[Passage],
        consultations: list[Consultation],
    ) -> Worked:
        """Let the model use the agent's tools; what it searches for and is advised is recorded like our own."""

        async def search(given: dict[str, Any]) -> str:
            query = knowledge_search(given["query"], order.context, agent)
            found = [passage for passage in await self._colleagues.search(query) if passage not in passages]
            passages.extend(found)
            numbers = range(len(passages) - len(found) + 1, len(passages) + 1)
            return (
                f"Found: passages {', '.join(f'[{number}]' for number in numbers)}." if found else "Found nothing new."
            )

        async def consult(given: dict[str, Any]) -> str:
            asked = expertise.router.agent_of(given["specialty"], given["question"])
            question = Question(given["question"], Choice(given["specialty"], asked, 1.0))
            number = len(consultations) + 1
            advice = await self._consulting.ask(order, asked_by=self._specialty, question=question, number=number)
            consultations.append(advice)
            if advice.outcome != "advised":
                raise ToolFailure(f"no advice: {advice.reason or advice.outcome}")
            return advice.advice

        return await self._toolbox.work(
            order,
            fleet=expertise.fleet,
            agent=agent,
            base=base,
            by=base.stream_to.source if base.stream_to is not None else self._instance,
            built_in={"search_knowledge": search, "consult": consult},
            passages=passages,
        )

    async def _decided(
        self, order: AnswerTurn, decision: Decision, expertise: Expertise, clock: Clockwork
    ) -> HandOff | Escalate:
        """Turn the model's decision into the fleet's protocol; the conversation service has the last word."""
        given = decision.arguments
        if decision.name == "handoff":
            agent = expertise.router.agent_of(given["specialty"], order.text)
            return await self._hand_off(order, Choice(given["specialty"], agent, 1.0), clock, reason=given["reason"])
        return Escalate(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            epoch=order.epoch,
            specialty=self._specialty,
            urgency=given["urgency"],
            reason=given["reason"],
            summary=extract(order.text, order.context.transcript),
            fleet_version=expertise.version,
            instance=self._instance,
        )

    async def _gather(
        self, order: AnswerTurn, agent: Agent, questions: list[Question]
    ) -> tuple[list[Passage], list[Consultation]]:
        """Search, and consult at the same time where there is something to ask."""
        query = knowledge_search(search_query(order.text, order.context), order.context, agent)
        if not questions:
            return await self._colleagues.search(query), []
        passages, consultations = await asyncio.gather(
            self._colleagues.search(query), self._consulting.ask_all(order, self._specialty, questions)
        )
        return passages, consultations

    def _untold(self, order: AnswerTurn) -> list[NoticePublished]:
        """Notices in force that this conversation has not been told yet."""
        told = "\n".join(said.text for said in order.context.transcript if said.role == "agent")
        in_force = self._board.for_agents(tenant=order.context.tenant, specialty=self._specialty)
        return [notice for notice in in_force if notice.text not in told]

    def _completion(
        self,
        order: AnswerTurn,
        agent: Agent,
        expertise: Expertise,
        passages: list[Passage],
        consultations: list[Consultation],
        notices: list[NoticePublished],
    ) -> Complete:
        return Complete(
            instructions=instructions(expertise.fleet.company, agent),
            question=order.text,
            speaker=f"{agent.title} of {expertise.fleet.company.name}",
            transcript=order.context.transcript,
            summary="\n".join(filter(None, (order.context.summary, order.context.note))),
            passages=passages,
            advice=[_note(expertise, asked) for asked in consultations if asked.outcome == "advised"],
            notices=[notice.text for notice in notices],
            abstain=self._abstain(order, expertise),
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

    def _abstain(self, order: AnswerTurn, expertise: Expertise) -> str:
        company = expertise.fleet.company
        if self._specialty != TRIAGE:
            return company.abstain
        return company.clarify if order.context.transcript else company.greeting

    # -- results without an answer ---

    def _routed(self, order: AnswerTurn, choice: Choice, clock: Clockwork) -> Routed:
        return Routed(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            epoch=order.epoch,
            to=Specialty(choice.specialty),
            agent=choice.agent.name,
            confidence=round(choice.confidence, 4),
            timings=Timings(queued_ms=clock.queued_ms, route_ms=clock.lap_ms()),
            instance=self._instance,
        )

    async def _hand_off(self, order: AnswerTurn, choice: Choice, clock: Clockwork, reason: str = "") -> HandOff:
        route_ms = clock.lap_ms()
        summary = await self._summarising.write(order, f"{self._instance}-{next(self._sources)}")
        return HandOff(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            epoch=order.epoch,
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

    def _failed(self, order: AnswerTurn, reason: str, *, retryable: bool, cancelled: bool = False) -> TurnFailed:
        return TurnFailed(
            conversation=order.conversation,
            turn=order.turn,
            attempt=order.attempt,
            hop=order.hop,
            epoch=order.epoch,
            reason=reason,
            retryable=retryable,
            instance=self._instance,
            cancelled=cancelled,
        )


def _note(expertise: Expertise, asked: Consultation) -> AdviceNote:
    """Attribute an advice to the specialist's title."""
    title = next((agent.title for agent in expertise.fleet.agents if agent.name == asked.agent), asked.specialty)
    return AdviceNote(specialty=asked.specialty, title=title, text=asked.advice, citations=asked.citations)

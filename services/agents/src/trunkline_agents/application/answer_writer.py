"""Answer writer: gathers passages, advice and notices, and has a model write the answer to a turn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from trunkline_protocols.accounting import Timings, ToolUse
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.fleet import TRIAGE, Agent
from trunkline_protocols.intents import SMALL_TALK
from trunkline_protocols.turn import MessageAnalysis

from trunkline_agents.application.built_in_tools import BuiltInTools
from trunkline_agents.application.completion_ids import CompletionIds
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.passage_finder import FoundPassages, PassageFinder
from trunkline_agents.application.tool_loop import ModelOutcome, ToolLoop, ToolLoopResult
from trunkline_agents.application.tool_session import ToolTask
from trunkline_agents.application.turn_task import TurnTask
from trunkline_agents.core.completion_request import completion_request
from trunkline_agents.core.consultations import plan_consultations, unconsulted
from trunkline_agents.core.results import Sources
from trunkline_agents.core.transcript import undelivered_notices
from trunkline_agents.ports import KnowledgeSearch, LanguageModel, NoticeSource


@dataclass(frozen=True, slots=True)
class Draft:
    """The model's outcome for a turn, and the sources, tool calls and time that it took."""

    outcome: ModelOutcome
    sources: Sources
    tools: list[ToolUse]
    timings: Timings


class AnswerWriter:
    """Writes answers with the knowledge base, other specialists, active notices and a model."""

    def __init__(
        self,
        *,
        knowledge: KnowledgeSearch,
        model: LanguageModel,
        consultations: ConsultationClient,
        tool_loop: ToolLoop,
        notices: NoticeSource,
        ids: CompletionIds,
    ) -> None:
        """`tool_loop` is used for agents with tools."""
        self._knowledge = knowledge
        self._finder = PassageFinder(knowledge)
        self._model = model
        self._consultations = consultations
        self._tool_loop = tool_loop
        self._notices = notices
        self._ids = ids

    async def find(self, task: TurnTask, agent: Agent, analysis: MessageAnalysis) -> FoundPassages:
        """Return the passages for the message of a turn."""
        return await self._finder.find(task, agent, analysis)

    async def write(self, task: TurnTask, agent: Agent, analysis: MessageAnalysis) -> Draft:
        """Write the answer of an agent; planned consultations run concurrently with the search."""
        request, clock = task.request, task.clock
        is_question = not analysis.intent and agent.specialty != TRIAGE
        planned = plan_consultations(task.routing.router, agent, request.text) if is_question else []
        route_ms = clock.lap_ms()
        consultations: list[Consultation] = []
        if planned:
            found, consultations = await asyncio.gather(
                self._finder.find_rest(request, agent, unconsulted(request.text, planned)),
                self._consultations.consult_all(request, planned),
            )
        else:
            found = await self._finder.find(task, agent, analysis)
        search_ms = clock.lap_ms()
        active = self._notices.for_agents(tenant=request.context.tenant, specialty=agent.specialty)
        undelivered = undelivered_notices(active, request.context.transcript)
        sources = Sources(found.passages, consultations, undelivered, active)
        completion_id = self._ids.next()
        completion = completion_request(
            request,
            task.routing.fleet,
            agent,
            sources,
            completion_id=completion_id,
            analysis=analysis,
            parts=found.parts,
        )
        if agent.tools and analysis.intent not in SMALL_TALK:
            built_in = BuiltInTools(
                task, agent, sources, knowledge=self._knowledge, consultations=self._consultations
            ).handlers
            result = await self._tool_loop.run(
                ToolTask(request, task.routing.fleet, agent, completion, completion_id, built_in, sources.passages)
            )
        else:
            result = ToolLoopResult(await self._model.complete(completion), [])
        timings = Timings(
            queued_ms=clock.queued_ms, route_ms=route_ms, search_ms=search_ms, completion_ms=clock.lap_ms()
        )
        return Draft(result.outcome, sources, result.uses, timings)

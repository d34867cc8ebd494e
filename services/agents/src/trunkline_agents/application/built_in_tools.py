"""Built-in tools: knowledge search and consultation, requested by the model while it answers."""

from __future__ import annotations

from itertools import count
from typing import Any

from trunkline_protocols.fleet import Agent

from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.tool_session import BuiltInTool
from trunkline_agents.application.turn_task import TurnTask
from trunkline_agents.core.consultations import PlannedConsultation
from trunkline_agents.core.knowledge_query import knowledge_query
from trunkline_agents.core.results import Sources
from trunkline_agents.core.routing.router import RoutingChoice
from trunkline_agents.ports import KnowledgeSearch, ToolError


class BuiltInTools:
    """Handlers for one turn; passages and advice are added to its sources, and so to its record."""

    def __init__(
        self,
        task: TurnTask,
        agent: Agent,
        sources: Sources,
        *,
        knowledge: KnowledgeSearch,
        consultations: ConsultationClient,
    ) -> None:
        """`agent` is the one that answers the turn."""
        self._task = task
        self._agent = agent
        self._sources = sources
        self._knowledge = knowledge
        self._consultations = consultations
        self._numbers = count(len(sources.consultations) + 1)

    @property
    def handlers(self) -> dict[str, BuiltInTool]:
        """Handlers by the name of their tool."""
        return {"search_knowledge": self._search, "consult": self._consult}

    async def _search(self, arguments: dict[str, Any]) -> str:
        known = self._sources.passages
        query = knowledge_query(arguments["query"], self._task.request.context, self._agent)
        found = [passage for passage in await self._knowledge.search(query) if passage not in known]
        known.extend(found)
        if not found:
            return "Found nothing new."
        numbers = range(len(known) - len(found) + 1, len(known) + 1)
        return f"Found: passages {', '.join(f'[{number}]' for number in numbers)}."

    async def _consult(self, arguments: dict[str, Any]) -> str:
        specialty, question = arguments["specialty"], arguments["question"]
        agent = self._task.routing.router.choose_agent(specialty, question)
        planned = PlannedConsultation(question, RoutingChoice(specialty, agent, 1.0))
        consultation = await self._consultations.consult(self._task.request, planned, number=next(self._numbers))
        self._sources.consultations.append(consultation)
        if consultation.outcome != "advised":
            raise ToolError(f"no advice: {consultation.reason or consultation.outcome}")
        return consultation.advice

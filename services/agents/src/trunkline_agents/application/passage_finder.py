"""Passages for a turn: for one question or for each of several, with what the conversation has said before."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
from trunkline_protocols.fleet import Agent
from trunkline_protocols.intents import NOT_HELPED, SMALL_TALK, VAGUE
from trunkline_protocols.knowledge import MIN_ANSWER_SCORE, Passage, SearchKnowledge
from trunkline_protocols.turn import AnswerTurn, MessageAnalysis

from trunkline_agents.application.turn_task import TurnTask
from trunkline_agents.core.follow_up import FollowUp, follow_up_of
from trunkline_agents.core.knowledge_query import knowledge_query
from trunkline_agents.core.question_parts import question_parts
from trunkline_agents.ports import KnowledgeSearch


@dataclass(frozen=True, slots=True)
class FoundPassages:
    """Passages, and the questions of a message that asks several."""

    passages: list[Passage]
    parts: list[str] = field(default_factory=list)


class PassageFinder:
    """Searches the knowledge base for the message of a turn."""

    def __init__(self, knowledge: KnowledgeSearch) -> None:
        """`knowledge` is the knowledge service."""
        self._knowledge = knowledge

    async def find(self, task: TurnTask, agent: Agent, analysis: MessageAnalysis) -> FoundPassages:
        """Return the passages for a message, by its intent; small talk and vague requests need none."""
        request = task.request
        if analysis.intent in SMALL_TALK or analysis.intent == VAGUE:
            return FoundPassages([])
        follow_up = follow_up_of(request.text, request.context.transcript)
        if analysis.intent == NOT_HELPED and follow_up.question:
            # The message has no subject of its own: look for more about the question before it.
            again = FollowUp(documents=follow_up.documents)
            query = knowledge_query(follow_up.question, request.context, agent, follow_up=again)
            return FoundPassages(await self._knowledge.search(query))
        query = knowledge_query(request.text, request.context, agent, vector=analysis.vector, follow_up=follow_up)
        parts = question_parts(request.text)
        if not parts:
            return FoundPassages(await self._search(task, query))
        whole, *by_part = await asyncio.gather(
            self._search(task, query), *(self._search_part(request, agent, parts, at) for at in range(len(parts)))
        )
        answered = sum(bool(found) and found[0].score >= MIN_ANSWER_SCORE for found in by_part)
        if answered < 2:  # noqa: PLR2004 - a single answered part is what the whole message is about
            return FoundPassages(whole)
        passages = [
            msgspec.structs.replace(passage, part=number) for number, found in enumerate(by_part) for passage in found
        ]
        return FoundPassages(passages, parts)

    async def _search(self, task: TurnTask, query: SearchKnowledge) -> list[Passage]:
        if task.anticipated is not None and task.anticipated.answer(query):
            return task.anticipated.passages
        return await self._knowledge.search(query)

    async def find_rest(self, request: AnswerTurn, agent: Agent, text: str) -> FoundPassages:
        """Return the passages for `text`, the part of a message that specialists are not consulted about."""
        follow_up = follow_up_of(request.text, request.context.transcript)
        query = knowledge_query(text, request.context, agent, follow_up=follow_up)
        return FoundPassages(await self._knowledge.search(query))

    async def _search_part(self, request: AnswerTurn, agent: Agent, parts: list[str], number: int) -> list[Passage]:
        """Search for one part; a later part may continue the first one."""
        follow_up = FollowUp(parts[0]) if number else FollowUp()
        return await self._knowledge.search(knowledge_query(parts[number], request.context, agent, follow_up=follow_up))

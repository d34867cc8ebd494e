"""Analysis of the message of a turn: once, by the first agent that gets the turn."""

from __future__ import annotations

from collections.abc import Mapping

from trunkline_protocols.intents import NOT_HELPED
from trunkline_protocols.knowledge import AnalyseMessage, MessageAnalysed, SearchKnowledge
from trunkline_protocols.turn import AnswerTurn, MessageAnalysis

from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.application.turn_task import AnticipatedPassages
from trunkline_agents.core.intents.recognition import recognise
from trunkline_agents.core.knowledge_query import anticipated_query
from trunkline_agents.ports import MessageAnalysisSource


class MessageAnalyst:
    """Analyses messages with the knowledge service, and recognises their intents with the fleet's router."""

    def __init__(self, source: MessageAnalysisSource) -> None:
        """`source` returns vectors and languages."""
        self._source = source

    async def analyse(
        self, request: AnswerTurn, routing: FleetRouting
    ) -> tuple[MessageAnalysis, AnticipatedPassages | None]:
        """Return the analysis that came with the turn, else a new one without intent.

        A new one comes with the passages that the agent that owns the conversation will need: one visit for both.
        """
        if request.analysis is not None:
            return request.analysis, None
        query = anticipated_query(request, routing.fleet)
        found = await self._request(request.text, routing, query)
        anticipated = None
        if query is not None and found.passages is not None:
            anticipated = AnticipatedPassages(query, found.passages)
        return _analysis(found), anticipated

    async def repeats_that_nothing_helped(self, request: AnswerTurn, routing: FleetRouting) -> bool:
        """Return whether the customer's message before this one said too that the advice did not help."""
        earlier = [utterance.text for utterance in request.context.transcript if utterance.role == "customer"]
        if not earlier:
            return False
        analysis = _analysis(await self._request(earlier[-1], routing))
        by_words = routing.embedding_of(analysis) is None
        return recognise(intents(earlier[-1], analysis, routing), by_words=by_words) == NOT_HELPED

    async def _request(self, text: str, routing: FleetRouting, query: SearchKnowledge | None = None) -> MessageAnalysed:
        languages = routing.fleet.company.served_languages
        return await self._source.analyse(AnalyseMessage(text=text, languages=languages, search=query))


def _analysis(found: MessageAnalysed) -> MessageAnalysis:
    return MessageAnalysis(
        embedder=found.embedder, vector=found.vector, language=found.language, corrected=found.corrected
    )


def intents(text: str, analysis: MessageAnalysis, routing: FleetRouting) -> Mapping[str, float]:
    """Return the probability of each intent of a message."""
    return routing.router.intents(text, routing.embedding_of(analysis))

"""Analysis of the message of a turn: once, by the first agent that gets the turn."""

from __future__ import annotations

from collections.abc import Mapping

from trunkline_protocols.intents import NOT_HELPED
from trunkline_protocols.knowledge import AnalyseMessage
from trunkline_protocols.turn import AnswerTurn, MessageAnalysis

from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.core.intents.recognition import recognise
from trunkline_agents.ports import MessageAnalysisSource


class MessageAnalyst:
    """Analyses messages with the knowledge service, and recognises their intents with the fleet's router."""

    def __init__(self, source: MessageAnalysisSource) -> None:
        """`source` returns vectors and languages."""
        self._source = source

    async def analyse(self, request: AnswerTurn, routing: FleetRouting) -> MessageAnalysis:
        """Return the analysis that came with the turn, else a new one without intent."""
        if request.analysis is not None:
            return request.analysis
        return await self._analyse(request.text, routing)

    async def repeats_that_nothing_helped(self, request: AnswerTurn, routing: FleetRouting) -> bool:
        """Return whether the customer's message before this one said too that the advice did not help."""
        earlier = [utterance.text for utterance in request.context.transcript if utterance.role == "customer"]
        if not earlier:
            return False
        analysis = await self._analyse(earlier[-1], routing)
        by_words = routing.embedding_of(analysis) is None
        return recognise(intents(earlier[-1], analysis, routing), by_words=by_words) == NOT_HELPED

    async def _analyse(self, text: str, routing: FleetRouting) -> MessageAnalysis:
        found = await self._source.analyse(AnalyseMessage(text=text, languages=routing.fleet.company.served_languages))
        return MessageAnalysis(
            embedder=found.embedder, vector=found.vector, language=found.language, corrected=found.corrected
        )


def intents(text: str, analysis: MessageAnalysis, routing: FleetRouting) -> Mapping[str, float]:
    """Return the probability of each intent of a message."""
    return routing.router.intents(text, routing.embedding_of(analysis))

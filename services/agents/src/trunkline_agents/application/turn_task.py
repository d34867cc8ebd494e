"""Unit of work of an agent: one attempt at a turn, with everything that is fixed for its duration."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from trunkline_protocols.knowledge import Passage, SearchKnowledge
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.application.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class AnticipatedPassages:
    """Passages that were found together with the analysis, for the query that the answer was expected to need."""

    query: SearchKnowledge
    passages: list[Passage]

    def answer(self, query: SearchKnowledge) -> bool:
        """Return whether these are the passages for a query, whose vector is that of the analysis."""
        return msgspec.structs.replace(query, vector=b"") == self.query


@dataclass(frozen=True, slots=True)
class TurnTask:
    """A request, the fleet version that it started with, and its stopwatch."""

    request: AnswerTurn
    routing: FleetRouting
    clock: Stopwatch
    anticipated: AnticipatedPassages | None = None

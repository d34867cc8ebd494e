"""Unit of work of an agent: one attempt at a turn, with everything that is fixed for its duration."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.application.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class TurnTask:
    """A request, the fleet version that it started with, and its stopwatch."""

    request: AnswerTurn
    routing: FleetRouting
    clock: Stopwatch

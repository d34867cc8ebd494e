"""Who answers: triage's choice, the agent within a specialty, and when a conversation belongs elsewhere.

A message of a conversation that nobody owns ends in one of three bands: familiar enough is routed; what is strange to
everything that was learnt is asked back, once; what stays strange goes to a person's desk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from trunkline_protocols.fleet import ESCALATION, TRIAGE, Agent, Fleet

from trunkline_agents.core.routing.artefact import RoutingModel
from trunkline_agents.core.routing.features import words

SHORT_WORDS: Final = 4
"""Below so many words a message says too little to change who answers: most real customer turns are that short."""

ELSEWHERE_MARGIN: Final = 0.5
"""How much better another specialty must score before the conversation moves."""

RETURN_MARGIN: Final = 0.9
"""The same, back to where the conversation has just come from: two specialists must not throw it to and fro."""

OTHER_AGENT_MARGIN: Final = 0.15
"""How much better another agent of the same specialty must score before it takes over."""

_FURTHER_APART: Final = 3.0
"""With a message's vector the scores of classes lie 2.5 to 6 times as far apart (medians of two fleets)."""

STRANGE_TURNS: Final = 2
"""So many questions back in a row, and a person takes the conversation."""

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Choice:
    """A specialty, the agent in it, and how sure that is (the best score's distance to the next)."""

    specialty: str
    agent: Agent
    confidence: float


class Router:
    """Decides by a routing model; immutable, a new model makes a new one."""

    def __init__(self, fleet: Fleet, model: RoutingModel) -> None:
        """Use a model that was trained from this fleet."""
        self._fleet = fleet
        self._model = model
        self.version = model.version

    def choose(self, text: str, vector: Vector | None = None, *, conversation: str = "", asked_back: int = 0) -> Choice:
        """Choose specialty and agent for a message of a conversation that nobody owns.

        `conversation` is all that was said, the message included; `asked_back` counts the clarifying questions just
        before: triage asks, then it brings a person.
        """
        judged = self._model.by_specialty.judge(text, vector, conversation=conversation)
        (specialty, best), (_, second) = judged.ranked[0], judged.ranked[1]
        if judged.familiarity < self._floor(vector):
            can_escalate = asked_back >= STRANGE_TURNS and bool(self._fleet.of(ESCALATION))
            specialty = ESCALATION if can_escalate else TRIAGE
        return Choice(specialty, self.agent_of(specialty, text, vector), best - second)

    def agent_of(self, specialty: str, text: str, vector: Vector | None = None, *, current: str = "") -> Agent:
        """Choose the agent within a specialty; the current one stays unless another fits clearly better."""
        candidates = self._fleet.of(specialty)
        scores = dict(self._model.by_agent.ranked(text, vector))
        best = max(candidates, key=lambda agent: scores.get(agent.name, -np.inf))
        sticky = next((agent for agent in candidates if agent.name == current), None)
        if sticky is None:
            return best
        is_short = len(words(text)) < SHORT_WORDS
        if is_short or scores[best.name] - scores[sticky.name] < _margin(OTHER_AGENT_MARGIN, vector):
            return sticky
        return best

    def better_specialty(
        self, agent: Agent, text: str, vector: Vector | None = None, *, came_from: str = ""
    ) -> Choice | None:
        """Name the specialty that a message of an owned conversation belongs to, None to stay.

        `came_from` is the specialty that owned the conversation a turn ago: the way back is longer.
        """
        if len(words(text)) < SHORT_WORDS:
            return None
        judged = self._model.by_specialty.judge(text, vector)
        scores = dict(judged.ranked)
        other = max((name for name in agent.hand_off_to if name in scores), key=lambda name: scores[name], default=None)
        if other is None or judged.familiarity < self._floor(vector) or agent.specialty not in scores:
            return None
        margin = scores[other] - scores[agent.specialty]
        needed = RETURN_MARGIN if other == came_from else ELSEWHERE_MARGIN
        if margin < _margin(needed, vector) or scores[other] < max(scores.values()):
            return None
        return Choice(other, self.agent_of(other, text, vector), margin)

    def _floor(self, vector: Vector | None) -> float:
        return self._model.floor if vector is None else self._model.vector_floor


def _margin(by_words: float, vector: Vector | None) -> float:
    return by_words if vector is None else by_words * _FURTHER_APART

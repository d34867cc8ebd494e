"""Who answers: triage's choice, the agent within a specialty, and when a conversation belongs elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline_protocols.fleet import TRIAGE, Agent, Fleet

from trunkline_agents.core.classifier import Classifier
from trunkline_agents.core.features import words

SHORT_WORDS: Final = 4
"""Below so many words a message says too little to change who answers: most real customer turns are that short."""

UNCLEAR: Final = -0.45
"""Best score of a specialty below which a message is not clear enough to be sent anywhere."""

ELSEWHERE_MARGIN: Final = 0.5
"""How much better another specialty must score before the conversation moves."""

OTHER_AGENT_MARGIN: Final = 0.15
"""How much better another agent of the same specialty must score before it takes over."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A specialty, the agent in it, and how sure that is (the best score's distance to the next)."""

    specialty: str
    agent: Agent
    confidence: float


class Router:
    """Learns from the fleet's examples who answers what."""

    def __init__(self, fleet: Fleet) -> None:
        """Train on every agent's examples and title."""
        self._fleet = fleet
        self._agents = {agent.name: agent for agent in fleet.agents}
        texts = [text for agent in fleet.agents for text in agent.examples]
        names = [agent.name for agent in fleet.agents for _ in agent.examples]
        self._by_agent = Classifier(texts, names)
        self._by_specialty = Classifier(texts, [self._agents[name].specialty for name in names])

    def choose(self, text: str) -> Choice:
        """Choose specialty and agent for a message of a conversation that nobody owns; unclear ones stay at triage."""
        ranked = sorted(self._by_specialty.scores(text).items(), key=lambda item: -item[1])
        (specialty, best), (_, second) = ranked[0], ranked[1]
        if best < UNCLEAR:
            specialty = TRIAGE
        return Choice(specialty, self.agent_of(specialty, text), best - second)

    def agent_of(self, specialty: str, text: str, *, current: str = "") -> Agent:
        """Choose the agent within a specialty; the current one stays unless another fits clearly better."""
        candidates = self._fleet.of(specialty)
        scores = self._by_agent.scores(text)
        best = max(candidates, key=lambda agent: scores[agent.name])
        sticky = next((agent for agent in candidates if agent.name == current), None)
        if sticky is None:
            return best
        is_short = len(words(text)) < SHORT_WORDS
        if is_short or scores[best.name] - scores[sticky.name] < OTHER_AGENT_MARGIN:
            return sticky
        return best

    def elsewhere(self, agent: Agent, text: str) -> Choice | None:
        """Name the specialty that a message of an owned conversation belongs to, None to stay."""
        if len(words(text)) < SHORT_WORDS:
            return None
        scores = self._by_specialty.scores(text)
        other = max((name for name in agent.hand_off_to if name in scores), key=lambda name: scores[name], default=None)
        if other is None or scores[other] < UNCLEAR:
            return None
        margin = scores[other] - scores[agent.specialty]
        if margin < ELSEWHERE_MARGIN or scores[other] < max(scores.values()):
            return None
        return Choice(other, self.agent_of(other, text), margin)

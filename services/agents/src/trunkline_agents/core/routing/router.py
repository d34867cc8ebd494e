"""Routing decisions: triage's choice of specialty, the agent within a specialty, and handoffs to another specialty.

A message of an unowned conversation falls into one of three bands: if its in-scope score reaches the threshold, it is
routed; below, triage asks a clarifying question; if messages stay out of scope, the conversation is escalated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from trunkline_language.terms import tokenize
from trunkline_protocols.evidence import RoutingEvidence, RoutingReason, Score
from trunkline_protocols.fleet import ESCALATION, TRIAGE, Agent, Fleet

from trunkline_agents.core.routing.artefact import RoutingModel
from trunkline_agents.core.routing.classifier import Prediction

MIN_WORDS: Final = 4
"""Shorter messages carry too little information to change the owner; most real customer turns are that short."""

HANDOFF_MARGIN: Final = 0.5
"""Score lead that another specialty needs before the conversation is handed off."""

RETURN_MARGIN: Final = 0.9
"""The same for a handoff back to the previous owner: prevents ping-pong between two specialists."""

AGENT_MARGIN: Final = 0.15
"""Score lead that another agent of the same specialty needs before it takes over."""

_EMBEDDING_SCALE: Final = 3.0
"""With an embedding, class scores are 2.5 to 6 times as far apart (medians of two fleets)."""

MAX_CLARIFICATIONS: Final = 2
"""Consecutive clarifying questions before an out-of-scope conversation is escalated."""

MAX_SCORES: Final = 3
"""Scores of a choice that its record keeps."""

Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RoutingChoice:
    """A specialty, the agent in it, and the confidence: the lead of the best score over the next."""

    specialty: str
    agent: Agent
    confidence: float
    evidence: RoutingEvidence | None = None
    """None for the owner that stays."""


class Router:
    """Routing decisions by one model. Immutable: a new model needs a new router."""

    def __init__(self, fleet: Fleet, model: RoutingModel) -> None:
        """`model` was trained on this fleet."""
        self._fleet = fleet
        self._model = model
        self.version = model.version

    def choose(
        self, text: str, embedding: Embedding | None = None, *, conversation: str = "", clarifications: int = 0
    ) -> RoutingChoice:
        """Choose specialty and agent for a message of an unowned conversation.

        `conversation` is the dialogue including the message; `clarifications` counts the clarifying questions
        immediately before it.
        """
        prediction = self._model.by_specialty.predict(text, embedding, conversation=conversation)
        (specialty, best), (_, second) = prediction.ranked[0], prediction.ranked[1]
        is_in_scope = prediction.in_scope_score >= self._scope_threshold(embedding)
        if not is_in_scope:
            can_escalate = clarifications >= MAX_CLARIFICATIONS and bool(self._fleet.of(ESCALATION))
            specialty = ESCALATION if can_escalate else TRIAGE
        evidence = self._evidence(prediction, embedding, "classified" if is_in_scope else "out_of_scope")
        return RoutingChoice(specialty, self.choose_agent(specialty, text, embedding), best - second, evidence)

    def intents(self, text: str, embedding: Embedding | None = None) -> dict[str, float]:
        """Return the probability of each intent of a message."""
        return self._model.intents.probabilities(text, embedding)

    def nearest_alarm(self, embedding: Embedding | None) -> str:
        """Return the intent of the alarm's example that a message is like; an empty string without a clear one."""
        return self._model.intents.nearest_alarm(embedding)

    def choose_agent(
        self, specialty: str, text: str, embedding: Embedding | None = None, *, current: str = ""
    ) -> Agent:
        """Choose the agent within a specialty; keep the current one unless another scores clearly higher."""
        candidates = self._fleet.of(specialty)
        scores = dict(self._model.by_agent.rank(text, embedding))
        best = max(candidates, key=lambda agent: scores.get(agent.name, -np.inf))
        sticky = next((agent for agent in candidates if agent.name == current), None)
        if sticky is None:
            return best
        is_short = len(tokenize(text)) < MIN_WORDS
        if is_short or scores[best.name] - scores[sticky.name] < _scaled(AGENT_MARGIN, embedding):
            return sticky
        return best

    def better_specialty(
        self, agent: Agent, text: str, embedding: Embedding | None = None, *, previous_owner: str = ""
    ) -> RoutingChoice | None:
        """Return the specialty to hand an owned conversation off to, or None to keep it.

        `previous_owner` is the specialty that owned the conversation one turn ago; it needs a larger lead.
        """
        if len(tokenize(text)) < MIN_WORDS:
            return None
        prediction = self._model.by_specialty.predict(text, embedding)
        scores = dict(prediction.ranked)
        other = max((name for name in agent.hand_off_to if name in scores), key=lambda name: scores[name], default=None)
        is_in_scope = prediction.in_scope_score >= self._scope_threshold(embedding)
        if other is None or not is_in_scope or agent.specialty not in scores:
            return None
        lead = scores[other] - scores[agent.specialty]
        margin = RETURN_MARGIN if other == previous_owner else HANDOFF_MARGIN
        if lead < _scaled(margin, embedding) or scores[other] < max(scores.values()):
            return None
        evidence = self._evidence(prediction, embedding, "classified")
        return RoutingChoice(other, self.choose_agent(other, text, embedding), lead, evidence)

    def _evidence(self, prediction: Prediction, embedding: Embedding | None, reason: RoutingReason) -> RoutingEvidence:
        return RoutingEvidence(
            reason=reason,
            scores=[Score(name=name, value=_rounded(score)) for name, score in prediction.ranked[:MAX_SCORES]],
            scope_score=_rounded(prediction.in_scope_score),
            scope_threshold=_rounded(self._scope_threshold(embedding)),
        )

    def _scope_threshold(self, embedding: Embedding | None) -> float:
        return self._model.scope_threshold if embedding is None else self._model.embedding_scope_threshold


def _rounded(score: float) -> float:
    return round(float(score), 4)


def _scaled(margin: float, embedding: Embedding | None) -> float:
    return margin if embedding is None else margin * _EMBEDDING_SCALE

"""Tally of a roll-out: finished turns and outcomes of drawn conversations, counted from their commits.

The commits are exact and survive every process: a controller that begins again reads them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.rollout import FleetDraw, ReleaseDraw, TurnCounts
from trunkline_protocols.rules.rollout import is_drawn_to_candidate, is_drawn_to_colour

from trunkline_ingress.core.rollout.evidence import WEIGHTS, Evidence, Outcome

_TURNS: Final = "turns"


class ObservedTimings(msgspec.Struct, frozen=True):
    """The part of a turn's timings that a roll-out reads."""

    model_ms: float = 0.0


class ObservedEvent(msgspec.Struct, frozen=True):
    """The part of a commit's event that a roll-out reads: no text of a customer."""

    event: str
    abstained: bool = False
    title: str = ""
    received_at: float = 0.0
    timings: ObservedTimings = ObservedTimings()


class ObservedCommit(msgspec.Struct, frozen=True):
    """The part of a commit that a roll-out reads."""

    conversation: ConversationId
    turn: TurnId
    at: float
    events: list[ObservedEvent]
    draw: FleetDraw | None = None
    release_draw: ReleaseDraw | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """Outcome of the draw of a conversation."""

    share: int
    """Share of the candidate at the draw, in percent."""
    is_candidate: bool


def drawn_version(commit: ObservedCommit, number: int) -> Drawn | None:
    """Return the draw between the versions of a roll-out, None for a conversation of another time."""
    draw = commit.draw
    if draw is None or draw.candidate != number:
        return None
    return Drawn(draw.share, is_drawn_to_candidate(commit.conversation, draw))


def drawn_release(commit: ObservedCommit, number: int) -> Drawn | None:
    """Return the draw between the releases of a roll-out, None for a conversation of another time.

    The draw counts, not the release that answered: a turn that fell back to the other one belongs to its conversation.
    """
    draw = commit.release_draw
    if draw is None or draw.rollout != number:
        return None
    return Drawn(draw.share, is_drawn_to_colour(commit.conversation, draw))


class RolloutTally:
    """Counts of both versions, and the evidence against the candidate."""

    def __init__(
        self, number: int, *, slow_s: float, drawn: Callable[[ObservedCommit, int], Drawn | None] = drawn_version
    ) -> None:
        """Count the conversations of one roll-out; a turn with an overhead over `slow_s` seconds is slow."""
        self._number = number
        self._drawn = drawn
        self._slow_s = slow_s
        self._counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._seen: dict[Outcome, set[ConversationId]] = {outcome: set() for outcome in WEIGHTS}
        self._model_ms: dict[TurnId, float] = {}
        """Time of the models in the earlier commits of unfinished turns."""
        self.evidence = Evidence()

    @property
    def candidate_turns(self) -> TurnCounts:
        """Return the counts of the conversations that were drawn to the candidate."""
        return TurnCounts(**self._counts[True])

    @property
    def served_turns(self) -> TurnCounts:
        """Return the counts of the conversations that were drawn to the served version."""
        return TurnCounts(**self._counts[False])

    def add(self, commit: ObservedCommit) -> None:
        """Count a commit, in the order of the log; one of a conversation of another time does not count."""
        drawn = self._drawn(commit, self._number)
        if drawn is None:
            return
        for event in commit.events:
            if event.event == "escalated":
                self._count("escalated", commit, drawn)
            elif event.event == "handed_off":
                self._model_ms[commit.turn] = self._model_ms.get(commit.turn, 0.0) + event.timings.model_ms
            elif event.event == "turn_answered":
                self._counts[drawn.is_candidate][_TURNS] += 1
                for outcome in self._outcomes(commit, event):
                    self._count(outcome, commit, drawn)

    def _outcomes(self, commit: ObservedCommit, answered: ObservedEvent) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if answered.abstained:
            # An apology of the system has no agent's title.
            outcomes.append("abstained" if answered.title else "failed")
        model_ms = self._model_ms.pop(commit.turn, 0.0) + answered.timings.model_ms
        if commit.at - answered.received_at - model_ms / 1000 > self._slow_s:
            outcomes.append("slow")
        return outcomes

    def _count(self, outcome: Outcome, commit: ObservedCommit, drawn: Drawn) -> None:
        self._counts[drawn.is_candidate][outcome] += 1
        if commit.conversation not in self._seen[outcome]:
            # Turns of one conversation are not independent of each other.
            self._seen[outcome].add(commit.conversation)
            self.evidence.add(outcome, drawn.share, is_candidate=drawn.is_candidate)

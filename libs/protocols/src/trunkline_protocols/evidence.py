"""Evidence of decisions: the scores that routing, handoffs and escalations were decided with."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.texts import Text
from trunkline_protocols.wire import Record

RoutingReason = Literal["classified", "out_of_scope", "authored_reply", "model"]
"""`out_of_scope`: the message is probably none for this fleet; `model`: the model's own decision, by a tool."""


class Score(Record, frozen=True, kw_only=True):
    """One candidate of a decision, and the strength of the evidence for it.

    The value is the classifier's score of a specialty, the probability of an intent, or a count.
    """

    name: Text
    value: float


class RoutingEvidence(Record, frozen=True, kw_only=True):
    """Reason for a choice of specialty, and the scores that it was made with."""

    reason: RoutingReason
    scores: list[Score] = []
    """Scores of the best specialties, best first; empty if the choice is no classification."""
    scope_score: float = 0.0
    """Score of the message to be one for the fleet: below `scope_threshold`, triage asks back."""
    scope_threshold: float = 0.0

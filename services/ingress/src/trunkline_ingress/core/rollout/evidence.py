"""Sequential evidence that a candidate is worse than the served version, valid at every look.

A drawn conversation has the candidate with a known probability, its share, whatever else happens. If both versions are
equal, this holds for the conversations with a certain outcome too, such as a failed turn: the first such turn of each
conversation is a toss of a known coin, at any base rate, also at one that changes during the day. Against the coin
stands a mixture of alternatives in which the candidate has the outcome `ratio` times as often. Their likelihood ratio
is a non-negative martingale with mean 1 if the versions are equal, so it ever reaches 1/a with a probability of at most
a (Ville's inequality). The value over all outcomes is a weighted mean of such martingales, hence one itself: no look,
no step and no outcome has to be paid for separately.

Method: mixture sequential probability ratio test (Robbins, Ann. Math. Stat. 41, 1970; Johari, Koomen, Pekelis and
Walsh, "Always Valid Inference", Operations Research 70, 2022) on counts of events under known traffic shares (Lindon
and Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022; Lindon, Sanden and Shirikian, "Rapid
Regression Detection in Software Deployments through Sequential Testing", KDD 2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

Outcome = Literal["failed", "abstained", "escalated", "slow"]

MAX_FALSE_ALARMS: Final = 0.02
"""Share of roll-outs of an equal version that go back, at most."""
LIMIT: Final = 1 / MAX_FALSE_ALARMS
"""Value of the evidence at which a candidate is withdrawn."""
RATIOS: Final = (2.0, 4.0, 16.0, 128.0)
"""How many times as often the candidate has an outcome, in the alternatives; all have the same weight."""
WEIGHTS: Final[Mapping[Outcome, float]] = {"failed": 1 / 2, "abstained": 1 / 6, "escalated": 1 / 6, "slow": 1 / 6}
"""Weights of the outcomes: a failure is the worst, and the rarest in a sound version."""
_MAX_LOG: Final = 700.0
"""Keeps an exponential finite."""


def log_likelihood_ratios(share: int, *, is_candidate: bool) -> tuple[float, ...]:
    """Return the logarithms by which a conversation with an outcome changes each alternative.

    `share` is that of the candidate at the draw, 1 to 100 percent; at 100 there is nothing to compare with.
    """
    probability = share / 100
    if is_candidate:
        return tuple(math.log(ratio / (ratio * probability + 1 - probability)) for ratio in RATIOS)
    return tuple(-math.log(ratio * probability + 1 - probability) for ratio in RATIOS)


def value_of(outcomes: Mapping[Outcome, Sequence[float]]) -> float:
    """Return the evidence, 1 at the start, from the sums of logarithms of each outcome."""
    return sum(WEIGHTS[outcome] * _mixture(logs) for outcome, logs in outcomes.items())


def _mixture(logs: Sequence[float]) -> float:
    return sum(math.exp(min(log, _MAX_LOG)) for log in logs) / len(logs)


class Evidence:
    """Accumulates conversations with outcomes; the first turn with an outcome counts, for each conversation once."""

    def __init__(self) -> None:
        """Begin without a conversation."""
        self._logs: dict[Outcome, tuple[float, ...]] = dict.fromkeys(WEIGHTS, (0.0,) * len(RATIOS))

    @property
    def value(self) -> float:
        """Return the evidence now; at `LIMIT` the candidate is withdrawn."""
        return value_of(self._logs)

    @property
    def strongest(self) -> Outcome:
        """Return the outcome that contributes most."""
        return max(WEIGHTS, key=lambda outcome: WEIGHTS[outcome] * _mixture(self._logs[outcome]))

    def add(self, outcome: Outcome, share: int, *, is_candidate: bool) -> None:
        """Add a conversation with an outcome, drawn at a share."""
        change = log_likelihood_ratios(share, is_candidate=is_candidate)
        self._logs[outcome] = tuple(log + added for log, added in zip(self._logs[outcome], change, strict=True))

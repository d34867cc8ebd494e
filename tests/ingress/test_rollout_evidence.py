"""Evidence of a roll-out by simulation: false alarms over all looks together, and the speed of a withdrawal."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from trunkline_ingress.core.rollout.evidence import (
    LIMIT,
    MAX_FALSE_ALARMS,
    RATIOS,
    WEIGHTS,
    Evidence,
    Outcome,
    log_likelihood_ratios,
)

ROLLOUTS = 5_000
TURNS = 3
"""Turns of a conversation."""
SHARES = (5,) * 160 + (25,) * 80 + (50,) * 80
"""Share at which each conversation of a simulated roll-out is drawn."""

Flags: TypeAlias = npt.NDArray[np.bool_]
Values: TypeAlias = npt.NDArray[np.float64]


def evidence_path(has_outcome: dict[Outcome, Flags], is_candidate: Flags, shares: tuple[int, ...]) -> Values:
    """Return the evidence after every conversation, one row for each roll-out."""
    path = np.full(is_candidate.shape, 1.0 - sum(WEIGHTS[outcome] for outcome in has_outcome))
    changes = np.array(
        [[log_likelihood_ratios(share, is_candidate=candidate) for share in shares] for candidate in (False, True)]
    )
    for outcome, flags in has_outcome.items():
        for ratio in range(len(RATIOS)):
            change = np.where(is_candidate, changes[1, :, ratio], changes[0, :, ratio])
            path += WEIGHTS[outcome] / len(RATIOS) * np.exp(np.cumsum(np.where(flags, change, 0.0), axis=1))
    return path


def draw(rng: np.random.Generator, shares: tuple[int, ...]) -> Flags:
    """Return which conversations are drawn to the candidate."""
    return rng.random((ROLLOUTS, len(shares))) < np.array(shares) / 100


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_equal_version_goes_back_in_two_percent_at_most(rate: float) -> None:
    """Of 5,000 roll-outs with a look after every conversation, at any base rate of abstentions."""
    rng = np.random.default_rng(round(1_000 * rate))
    is_candidate = draw(rng, SHARES)
    outcomes: dict[Outcome, Flags] = {
        "failed": rng.random(is_candidate.shape) < 0.002,
        "abstained": rng.random(is_candidate.shape) < 1 - (1 - rate) ** TURNS,
        "escalated": rng.random(is_candidate.shape) < 0.04,
    }
    alarms = (evidence_path(outcomes, is_candidate, SHARES) >= LIMIT).any(axis=1)
    assert 0 < alarms.mean() <= MAX_FALSE_ALARMS


def test_equal_failures_of_both_versions_are_no_alarm() -> None:
    """A provider's outage: every turn of both versions fails for a while."""
    rng = np.random.default_rng(7)
    is_candidate = draw(rng, SHARES)
    outage = np.zeros(is_candidate.shape, dtype=bool)
    outage[:, 100:200] = True
    alarms = (evidence_path({"failed": outage}, is_candidate, SHARES) >= LIMIT).any(axis=1)
    assert alarms.mean() <= MAX_FALSE_ALARMS


def test_failing_version_goes_back_by_its_thirtieth_turn() -> None:
    """A fifth of its turns fails, at a share of 5 percent, while one in a thousand of the served version fails."""
    shares = (5,) * 1_200
    rng = np.random.default_rng(11)
    is_candidate = draw(rng, shares)
    failed = rng.random(is_candidate.shape) < np.where(is_candidate, 0.2, 0.001)
    within = np.cumsum(is_candidate, axis=1) <= 30
    assert within[:, -1].mean() < 0.001, "the thirtieth turn is simulated"
    found = ((evidence_path({"failed": failed}, is_candidate, shares) >= LIMIT) & within).any(axis=1)
    assert found.mean() >= 0.95


def test_evidence_is_that_of_the_simulation() -> None:
    """Conversation by conversation."""
    rng = np.random.default_rng(3)
    is_candidate = rng.random((1, len(SHARES))) < 0.3
    failed = rng.random(is_candidate.shape) < 0.3
    path = evidence_path({"failed": failed}, is_candidate, SHARES)
    evidence = Evidence()
    for number, share in enumerate(SHARES):
        if failed[0, number]:
            evidence.add("failed", share, is_candidate=bool(is_candidate[0, number]))
        assert evidence.value == pytest.approx(path[0, number])


def test_strongest_outcome_is_named() -> None:
    """For the reason of a withdrawal."""
    evidence = Evidence()
    for _ in range(3):
        evidence.add("escalated", 5, is_candidate=True)
    assert evidence.strongest == "escalated"


def test_nothing_is_compared_at_all_conversations() -> None:
    """Without a conversation of the served version there is no evidence against the candidate."""
    assert log_likelihood_ratios(100, is_candidate=True) == pytest.approx((0.0,) * len(RATIOS))

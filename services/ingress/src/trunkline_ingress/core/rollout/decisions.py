"""Decisions about a roll-out: pure functions from its state and the present counts to the next change.

preparing   every process loads both versions, the routing is trained; or the agents of both releases are ready
running     a share of new conversations is drawn to the candidate, raised step by step
finishing   the candidate is published as the served version, and every process loads it under its new number;
            a release is in force at once
finished, withdrawn
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar, assert_never

import msgspec
from trunkline_protocols.rollout import (
    MAX_DECISIONS,
    FleetRollout,
    ReleaseRollout,
    RolloutAction,
    RolloutDecision,
    TurnCounts,
)

from trunkline_ingress.core.rollout.evidence import LIMIT, WEIGHTS, Outcome

PREPARATION_TIMEOUT_S: Final = 900.0
"""Longest time until every process has loaded the candidate: a training may take minutes on a busy machine."""
FINISHING_TIMEOUT_S: Final = 60.0
"""Longest time until every process has loaded the published version; one that has not answers with its last one."""
UNAVAILABLE_TIMEOUT_S: Final = 30.0
"""Longest time without ready agents of a candidate: a restarted process loads a fleet and a model first."""
_ALL: Final = 100
_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFacts:
    """Everything that a decision depends on, besides the state."""

    now: float
    """Unix time in seconds."""
    served_version: int
    """0 for a release, which no other change replaces."""
    is_candidate_served: bool
    """Whether the served fleet has the content of the candidate."""
    behind: Sequence[str]
    """Ready processes that have not loaded the candidate."""
    behind_published: Sequence[str]
    """Ready processes that have not loaded the served version."""
    candidate_turns: TurnCounts
    served_turns: TurnCounts
    evidence: float
    """Evidence that the candidate is worse."""
    strongest: Outcome
    """Outcome that contributes most to it."""
    unavailable: str = ""
    """Ready processes that a candidate release lacks, empty if it has all."""
    unavailable_s: float = 0.0
    """Time since then."""


@dataclass(frozen=True, slots=True)
class Raise:
    """Raise the share; at 100 the candidate is published."""

    share: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish the candidate as the successor of the served version."""


@dataclass(frozen=True, slots=True)
class Published:
    """The candidate has been published as this version."""

    version: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Every conversation has the published version from its next turn on."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Go back: every conversation has the served version from its next turn on."""

    reason: str


Change: TypeAlias = Raise | Published | Finish | Withdraw
Rollout: TypeAlias = FleetRollout | ReleaseRollout
R = TypeVar("R", bound=Rollout)


def decide(state: Rollout, facts: RolloutFacts) -> Change | Publish | None:
    """Return the next change of an active roll-out, None to wait."""
    if state.phase == "finishing":
        return _finish(state, facts) if isinstance(state, FleetRollout) else Finish()
    if isinstance(state, FleetRollout) and facts.served_version != state.served:
        return Withdraw(f"version {facts.served_version} was published meanwhile")
    if facts.evidence >= LIMIT:
        return Withdraw(_verdict(facts))
    if state.phase == "preparing" and facts.behind:
        waited_s = facts.now - state.started_at
        return Withdraw(f"not loaded by {_some(facts.behind)}") if waited_s > PREPARATION_TIMEOUT_S else None
    if state.phase == "running" and facts.unavailable:
        # Its conversations are answered by the served release meanwhile, which counts as no failure.
        return Withdraw(facts.unavailable) if facts.unavailable_s > UNAVAILABLE_TIMEOUT_S else None
    if state.is_paused or not _is_held(state, facts):
        return None
    return Raise(next((share for share in state.shares if share > state.share), _ALL))


def _is_held(state: Rollout, facts: RolloutFacts) -> bool:
    """Return whether the present share has had its time and its turns."""
    if state.phase == "preparing":
        return True
    turns = facts.candidate_turns.turns - state.raised_turns
    return facts.now - state.raised_at >= state.hold_s and turns >= state.min_turns


def _finish(state: FleetRollout, facts: RolloutFacts) -> Change | Publish | None:
    if state.published == 0:
        if facts.served_version == state.served:
            return Publish()
        if facts.is_candidate_served:
            # The process that published it died before it could write the number down.
            return Published(facts.served_version)
        return Withdraw(f"version {facts.served_version} was published meanwhile")
    is_late = facts.now - state.raised_at > FINISHING_TIMEOUT_S
    return Finish() if is_late or not facts.behind_published else None


def after(state: R, change: Change, facts: RolloutFacts, *, by: str) -> R:
    """Return the state after a change; `by` is the process that decided it."""
    counted = msgspec.structs.replace(state, candidate_turns=facts.candidate_turns, served_turns=facts.served_turns)
    match change:
        case Raise(share=share):
            raised = msgspec.structs.replace(
                counted,
                phase="finishing" if share == _ALL else "running",
                share=share,
                raised_at=facts.now,
                raised_turns=facts.candidate_turns.turns,
            )
            return noted(raised, "finishing" if share == _ALL else "raised", at=facts.now, by=by)
        case Published(version=version):
            return msgspec.structs.replace(counted, published=version, raised_at=facts.now)
        case Finish():
            finished = msgspec.structs.replace(counted, phase="finished")
            reason = f"served as version {state.published}" if isinstance(state, FleetRollout) else "in force"
            return noted(finished, "finished", at=facts.now, by=by, reason=reason)
        case Withdraw(reason=reason):
            withdrawn = msgspec.structs.replace(counted, phase="withdrawn", share=0)
            return noted(withdrawn, "withdrawn", at=facts.now, by=by, reason=reason)
        case _:
            assert_never(change)


def noted(state: R, action: RolloutAction, *, at: float, by: str, reason: str = "") -> R:
    """Return the state with one more decision in its record."""
    decision = RolloutDecision(at=at, action=action, share=state.share, by=by, reason=reason)
    return msgspec.structs.replace(state, decisions=[*state.decisions[1 - MAX_DECISIONS :], decision])


def progress(share: int, candidate: TurnCounts, served: TurnCounts, evidence: float) -> str:
    """Return the counts of both versions in a line."""
    counts = "; ".join(
        f"{name}: {counts.turns} turns, " + ", ".join(f"{getattr(counts, outcome)} {outcome}" for outcome in WEIGHTS)
        for name, counts in (("candidate", candidate), ("served", served))
    )
    return f"share {share} %; {counts}; evidence {evidence:.3g} of {LIMIT:g}"


def _verdict(facts: RolloutFacts) -> str:
    candidate, served, outcome = facts.candidate_turns, facts.served_turns, facts.strongest
    return (
        f"{outcome}: {getattr(candidate, outcome)} of {candidate.turns} turns, "
        f"and {getattr(served, outcome)} of {served.turns} of the served version"
    )


def _some(instances: Sequence[str]) -> str:
    more = f" and {len(instances) - _NAMED} more" if len(instances) > _NAMED else ""
    return ", ".join(sorted(instances)[:_NAMED]) + more

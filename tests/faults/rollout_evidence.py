"""Commits of a roll-out: the shares of its draws, and whether each conversation kept the version of its draw."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from trunkline_chassis.bus import connect
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_protocols import codec, subjects
from trunkline_protocols.log import Commit, TurnAnswered
from trunkline_protocols.rules.rollout import is_drawn_to_candidate, is_drawn_to_colour

_POINTS: Final = 2.0
_STANDARD_ERRORS: Final = 3.0


@dataclass(slots=True)
class Evidence:
    """Counts of a roll-out, as its commits show them."""

    drawn: Counter[int] = field(default_factory=Counter)
    """Drawn conversations by share."""
    to_candidate: Counter[int] = field(default_factory=Counter)
    candidate_turns_at: list[float] = field(default_factory=list)
    """Unix times of the finished turns of the candidate, in order."""
    changed: list[str] = field(default_factory=list)
    """Conversations with a commit of another version than that of their draw, before the end of the roll-out."""

    def add(self, commit: Commit, kind: str, state: dict[str, Any]) -> None:
        """Count a commit, in the order of the log; one without a draw of this roll-out does not count."""
        drawn = _drawn(commit, kind, state)
        if drawn is None:
            return
        share, is_candidate, is_kept = drawn
        if commit.previous == 0:
            self.drawn[share] += 1
            self.to_candidate[share] += is_candidate
        # With the decision that ends it, all conversations get the version in force; processes know of it later.
        if not is_kept and commit.at < state["decisions"][-1]["at"]:
            self.changed.append(f"{commit.conversation} {commit.colour} {commit.fleet_version}")
        if is_candidate and any(isinstance(event, TurnAnswered) for event in commit.events):
            self.candidate_turns_at.append(commit.at)

    @property
    def unfair(self) -> list[str]:
        """Return the shares that are further off than two points and three standard errors."""
        return [
            f"{self.to_candidate[share]} of {drawn} at {share} %"
            for share, drawn in sorted(self.drawn.items())
            if abs(100 * self.to_candidate[share] / drawn - share)
            > max(_POINTS, _STANDARD_ERRORS * math.sqrt(share * (100 - share) / drawn))
        ]

    def figures(self) -> dict[str, object]:
        """Return the figures as they are printed."""
        shares = {f"{share} %": f"{self.to_candidate[share]} of {drawn}" for share, drawn in sorted(self.drawn.items())}
        return {"shares": shares, "candidate_turns": len(self.candidate_turns_at), "changed": len(self.changed)}


async def evidence_of(
    nats_url: str, kind: str, state: dict[str, Any], security: NatsSecurity | None = None
) -> Evidence:
    """Read the commits of the roll-out of a `release` or a `fleet` version, whose state is that of the API."""
    bus = await connect(nats_url, "verifier", principal="operator", security=security or NatsSecurity())
    try:
        found = await bus.read_messages("CONVERSATIONS", subjects.LOGS, after=state["commits_after"])
    finally:
        await bus.close()
    evidence = Evidence()
    for stored in found:
        evidence.add(codec.commit.decode(stored.payload), kind, state)
    return evidence


def _drawn(commit: Commit, kind: str, state: dict[str, Any]) -> tuple[int, bool, bool] | None:
    """Return the share of a draw, whether it gave the candidate, and whether the commit has the drawn version."""
    if kind == "release":
        release = commit.release_draw
        if release is None or release.rollout != state["number"]:
            return None
        is_candidate = is_drawn_to_colour(commit.conversation, release)
        return release.share, is_candidate, commit.colour == state["candidate" if is_candidate else "served"]
    draw = commit.draw
    if draw is None or draw.candidate != state["candidate"]:
        return None
    is_candidate = is_drawn_to_candidate(commit.conversation, draw)
    # Once it is published, the candidate has a second number.
    own = {state["candidate"], state.get("published", 0)} if is_candidate else {state["served"]}
    return draw.share, is_candidate, commit.fleet_version in own

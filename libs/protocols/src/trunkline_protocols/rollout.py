"""Roll-outs by shares of new conversations, of a fleet version or a release: their states, and a conversation's draw.

Times are Unix seconds (UTC) in `*_at`, durations are seconds in `*_s`, shares are percent.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from trunkline_protocols.subjects import Colour
from trunkline_protocols.wire import Record, Wire

Percent = Annotated[int, Meta(ge=0, le=100)]
RolloutPhase = Literal["preparing", "running", "finishing", "finished", "withdrawn"]
"""Every process loads the candidate; a share of new conversations is drawn to it; it is published as the served
version; and the two ends."""
RolloutAction = Literal["started", "raised", "paused", "resumed", "finishing", "finished", "withdrawn"]

MAX_DECISIONS: Final = 100
"""Decisions that the state of a roll-out keeps, the latest ones."""


class FleetDraw(Record, frozen=True, kw_only=True):
    """Draw of a new conversation between the served version and a candidate."""

    candidate: int
    share: Percent
    """Share of the candidate at the time of the draw."""


class ReleaseDraw(Record, frozen=True, kw_only=True):
    """Draw of a new conversation between the served release and a candidate."""

    rollout: int
    """Number of the roll-out."""
    share: Percent
    """Share of the candidate at the time of the draw."""


class TurnCounts(Record, frozen=True, kw_only=True):
    """Finished turns of drawn conversations, and the outcomes that a roll-out watches."""

    turns: int = 0
    failed: int = 0
    abstained: int = 0
    escalated: int = 0
    slow: int = 0


class RolloutDecision(Record, frozen=True, kw_only=True):
    """A change of a roll-out, by its controller or by an operator."""

    at: float
    action: RolloutAction
    share: Percent
    """Share after the change."""
    by: str
    reason: str = ""


class FleetRollout(Wire, frozen=True, kw_only=True, tag="fleet.rollout"):
    """State of the last roll-out; every process draws new conversations by it."""

    candidate: int
    """Version under test: the revision of its key."""
    served: int
    """Version that every other conversation has."""
    shares: Annotated[list[Percent], Meta(min_length=1, max_length=20)]
    """Shares in order; the last one is 100."""
    hold_s: Annotated[float, Meta(ge=0)]
    """Shortest time at each share."""
    min_turns: Annotated[int, Meta(ge=1)]
    """Finished turns of the candidate that each share needs before the next one."""
    slow_s: Annotated[float, Meta(gt=0)]
    """Overhead over which a turn is slow."""
    started_at: float
    started_by: str
    commits_after: int
    """Last sequence of CONVERSATIONS at the start: the controller counts the commits after it."""
    phase: RolloutPhase = "preparing"
    share: Percent = 0
    raised_at: float = 0.0
    """Time of the last raise."""
    raised_turns: int = 0
    """Finished turns of the candidate at the last raise."""
    is_paused: bool = False
    """If true, the share is not raised; the candidate may still be withdrawn."""
    published: int = 0
    """Served version that the candidate has become, 0 before."""
    candidate_turns: TurnCounts = TurnCounts()
    """As of the last decision."""
    served_turns: TurnCounts = TurnCounts()
    decisions: list[RolloutDecision] = []

    @property
    def number(self) -> int:
        """Return the number of the roll-out, which its draws name."""
        return self.candidate

    @property
    def is_active(self) -> bool:
        """Return whether both versions are held."""
        return self.phase in {"preparing", "running", "finishing"}


class ReleaseRollout(Wire, frozen=True, kw_only=True, tag="release.rollout"):
    """State of the last roll-out of a release to the agents; every process draws new conversations by it."""

    number: int
    """Distinguishes roll-outs: greater than that of every earlier one."""
    candidate: Colour
    served: Colour
    """Colour of every other conversation, until the roll-out is finished."""
    shares: Annotated[list[Percent], Meta(min_length=1, max_length=20)]
    """Shares in order; the last one is 100."""
    hold_s: Annotated[float, Meta(ge=0)]
    """Shortest time at each share."""
    min_turns: Annotated[int, Meta(ge=1)]
    """Finished turns of the candidate that each share needs before the next one."""
    slow_s: Annotated[float, Meta(gt=0)]
    """Overhead over which a turn is slow."""
    started_at: float
    started_by: str
    commits_after: int
    """Last sequence of CONVERSATIONS at the start: the controller counts the commits after it."""
    phase: RolloutPhase = "preparing"
    share: Percent = 0
    raised_at: float = 0.0
    """Time of the last raise."""
    raised_turns: int = 0
    """Finished turns of the candidate at the last raise."""
    is_paused: bool = False
    """If true, the share is not raised; the candidate may still be withdrawn."""
    candidate_turns: TurnCounts = TurnCounts()
    """As of the last decision."""
    served_turns: TurnCounts = TurnCounts()
    decisions: list[RolloutDecision] = []

    @property
    def is_active(self) -> bool:
        """Return whether new conversations may be drawn to the candidate, now or later."""
        return self.phase in {"preparing", "running", "finishing"}

    @property
    def in_force(self) -> Colour:
        """Return the colour of all conversations that have no draw of an active roll-out."""
        return self.candidate if self.phase == "finished" else self.served

"""Roll-out of a fleet version in the operators' API: start, status, pause, resume, abort."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, Literal

import msgspec
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout

from trunkline_cli.client import get, post
from trunkline_cli.settings import ClientSettings

_PATH: Final = "/v1/ops/fleet/rollout"
_PHASES: Final = {
    "preparing": "every process loads both versions; the share is 0",
    "running": "new conversations are drawn",
    "finishing": "the candidate becomes the served version",
    "finished": "the candidate is the served version",
    "withdrawn": "it went back: the served version has not changed",
}


class RolloutStatus(msgspec.Struct, kw_only=True):
    """The last roll-out; `observed` has the counts of its controller now."""

    rollout: FleetRollout
    observed: str


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of a roll-out: shares in percent, the shortest time and the number of turns at each."""

    shares: list[int]
    hold_s: float
    min_turns: int
    slow_s: float


def start_rollout(
    settings: ClientSettings, fleet: Fleet, plan: RolloutPlan, *, after: int, by: str, note: str
) -> RolloutStatus:
    """Roll a fleet out as the successor of version `after`; refused while another roll-out is active."""
    body = {"fleet": fleet, "after": after, "by": by, "note": note, **msgspec.structs.asdict(plan)}
    return post(settings, _PATH, body, RolloutStatus)


def read_rollout(settings: ClientSettings) -> RolloutStatus:
    """Return the last roll-out."""
    return get(settings, _PATH, RolloutStatus)


def change_rollout(settings: ClientSettings, action: Literal["pause", "resume", "abort"], *, by: str) -> RolloutStatus:
    """Pause, resume or abort the running roll-out."""
    return post(settings, f"{_PATH}/{action}", {"by": by}, RolloutStatus)


def status_lines(status: RolloutStatus) -> Iterator[str]:
    """Yield the state of a roll-out, its counts and its decisions."""
    rollout = status.rollout
    paused = ", paused" if rollout.is_paused and rollout.is_active else ""
    yield f"candidate {rollout.candidate}, served version {rollout.served}: {rollout.phase}{paused}"
    yield f"  {_PHASES[rollout.phase]}"
    yield from step_lines(rollout, status.observed)


def step_lines(rollout: FleetRollout | ReleaseRollout, observed: str) -> Iterator[str]:
    """Yield the steps of a roll-out, its counts and its decisions."""
    steps = ", ".join(str(share) for share in rollout.shares)
    yield f"  share {rollout.share} % of {steps}; {rollout.hold_s:g} s and {rollout.min_turns} turns at each"
    if observed:
        yield f"  {observed}"
    for decision in rollout.decisions:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(decision.at))
        reason = f": {decision.reason}" if decision.reason else ""
        yield f"  {at}  {decision.action} at {decision.share} % by {decision.by}{reason}"

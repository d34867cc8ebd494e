"""Roll-out of a release in the operators' API: status, start, pause, resume, abort."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec
from trunkline_protocols.rollout import ReleaseRollout
from trunkline_protocols.subjects import Colour

from trunkline_cli.client import get, post
from trunkline_cli.fleet.rollouts import RolloutPlan, step_lines
from trunkline_cli.settings import ClientSettings

_PATH: Final = "/v1/ops/release"
_PHASES: Final = {
    "preparing": "the agents of the candidate become ready; the share is 0",
    "running": "new conversations are drawn",
    "finishing": "all new conversations get the candidate",
    "finished": "every conversation gets it with its next turn",
    "withdrawn": "it went back: every conversation gets the release in force with its next turn",
}


class ReleaseStatus(msgspec.Struct, kw_only=True):
    """The last roll-out; `observed` has the counts of its controller now."""

    rollout: ReleaseRollout
    observed: str
    agents: dict[str, dict[str, str]]
    """Version of each agents process, by instance, by colour."""


def read_release(settings: ClientSettings) -> ReleaseStatus:
    """Return the last roll-out."""
    return get(settings, _PATH, ReleaseStatus)


def start_release(settings: ClientSettings, to: Colour, plan: RolloutPlan, *, by: str, note: str) -> ReleaseStatus:
    """Roll a release out; refused while another roll-out is active, and if it is in force already."""
    return post(settings, _PATH, {"to": to, "by": by, "note": note, **msgspec.structs.asdict(plan)}, ReleaseStatus)


def change_release(settings: ClientSettings, action: Literal["pause", "resume", "abort"], *, by: str) -> ReleaseStatus:
    """Pause, resume or abort the running roll-out."""
    return post(settings, f"{_PATH}/{action}", {"by": by}, ReleaseStatus)


def status_lines(status: ReleaseStatus) -> Iterator[str]:
    """Yield the colour in force, the agents of each colour, and the last roll-out."""
    rollout = status.rollout
    yield f"{rollout.in_force} is in force"
    for colour, agents in sorted(status.agents.items()):
        versions = ", ".join(sorted(set(agents.values())))
        yield f"  {colour or 'no colour'}: agents processes {len(agents)}, version {versions}"
    if rollout.candidate == rollout.served:
        return  # the first colour was not rolled out
    paused = ", paused" if rollout.is_paused and rollout.is_active else ""
    yield f"roll-out of {rollout.candidate}: {rollout.phase}{paused}"
    yield f"  {_PHASES[rollout.phase]}"
    yield from step_lines(rollout, status.observed)

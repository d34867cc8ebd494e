"""/v1/ops/fleet/rollout: start the roll-out of a fleet version, show, pause, resume and abort it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import msgspec
from aiohttp import web
from trunkline_chassis.settings import McpCommands
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.rollout import FleetRollout

from trunkline_ingress.core.rollout.decisions import noted
from trunkline_ingress.handlers.access import author_of
from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.handlers.ops.fleet import (
    refuse_defects,
    refuse_disallowed_commands,
    refuse_during_release,
    refuse_during_rollout,
)
from trunkline_ingress.handlers.ops.rollout_changes import RolloutHandlers, RolloutSteps
from trunkline_ingress.operator_ports import CommitFeed, FleetStore, ReleaseStore, RolloutStore
from trunkline_ingress.ports import LiveProcesses


class StartRollout(RolloutSteps, kw_only=True):
    """Body of `POST /v1/ops/fleet/rollout`: roll this fleet out as the successor of version `after`."""

    fleet: Fleet
    after: int


class _RolloutStatus(msgspec.Struct, kw_only=True):
    rollout: FleetRollout
    observed: str
    """Counts of the controller now, empty without one."""


@dataclass(frozen=True, slots=True)
class RolloutOps(RolloutHandlers[FleetRollout]):
    """Handlers for the roll-out of a version."""

    path: ClassVar[str] = "/v1/ops/fleet/rollout"
    noun: ClassVar[str] = "candidate"
    nothing_stored: ClassVar[str] = "nothing has been rolled out"

    rollouts: RolloutStore
    releases: ReleaseStore
    fleets: FleetStore
    commits: CommitFeed
    processes: LiveProcesses
    mcp_commands: McpCommands
    now: Callable[[], float]

    @property
    def states(self) -> RolloutStore:
        """Store of the state."""
        return self.rollouts

    async def start(self, request: web.Request) -> web.Response:
        """Publish a candidate and the state of its roll-out; the controller does the rest."""
        body = await body_of(request, StartRollout)
        steps = body.steps()
        refuse_defects(body.fleet)
        refuse_disallowed_commands(body.fleet, self.mcp_commands)
        stored = await self.rollouts.read()
        refuse_during_rollout(stored.rollout)
        refuse_during_release((await self.releases.read()).rollout)
        current = await self.fleets.current()
        if current is None or current.version != body.after:
            raise web.HTTPConflict(
                text=f"version {body.after} is not the served one, compare with the served version again"
            )
        by, now = author_of(request, body.by), self.now()
        candidate = await self.rollouts.publish_candidate(body.fleet, by=by, note=body.note)
        rollout = FleetRollout(
            candidate=candidate.version,
            served=current.version,
            started_at=now,
            started_by=by,
            commits_after=await self.commits.last(),
            **steps,
        )
        return await self.put(noted(rollout, "started", at=now, by=by, reason=body.note), stored)

    def status(self, rollout: FleetRollout) -> web.Response:
        """Return the reply with a state."""
        return json_response(_RolloutStatus(rollout=rollout, observed=self.observed(rollout)))

"""/v1/ops/release: the colour in force; start the roll-out of a release, pause, resume and abort it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import msgspec
from aiohttp import web
from trunkline_protocols.rollout import ReleaseRollout
from trunkline_protocols.subjects import Colour

from trunkline_ingress.core.rollout.decisions import noted
from trunkline_ingress.handlers.access import author_of
from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.handlers.ops.fleet import refuse_during_release, refuse_during_rollout
from trunkline_ingress.handlers.ops.rollout_changes import RolloutHandlers, RolloutSteps
from trunkline_ingress.operator_ports import CommitFeed, ReleaseStore, RolloutStore
from trunkline_ingress.ports import LiveProcesses


class StartRelease(RolloutSteps, kw_only=True):
    """Body of `POST /v1/ops/release`: roll the release of the agents with the colour `to` out."""

    to: Colour


class _ReleaseStatus(msgspec.Struct, kw_only=True):
    rollout: ReleaseRollout
    observed: str
    """Counts of the controller now, empty without one."""
    agents: dict[str, dict[str, str]]
    """Version of each agents process, by instance, by colour."""


@dataclass(frozen=True, slots=True)
class ReleaseOps(RolloutHandlers[ReleaseRollout]):
    """Handlers for the roll-out of a release."""

    path: ClassVar[str] = "/v1/ops/release"
    noun: ClassVar[str] = "release"
    nothing_stored: ClassVar[str] = "no agents have a colour: start them with TRUNKLINE_COLOUR"

    releases: ReleaseStore
    rollouts: RolloutStore
    commits: CommitFeed
    processes: LiveProcesses
    now: Callable[[], float]

    @property
    def states(self) -> ReleaseStore:
        """Store of the state."""
        return self.releases

    async def start(self, request: web.Request) -> web.Response:
        """Store the state of a new roll-out; the controller does the rest."""
        body = await body_of(request, StartRelease)
        steps = body.steps()
        stored = await self.releases.read()
        last = self.existing(stored)
        refuse_during_release(last)
        refuse_during_rollout((await self.rollouts.read()).rollout)
        if body.to == last.in_force:
            raise web.HTTPConflict(text=f"release {body.to} is in force already")
        by, now = author_of(request, body.by), self.now()
        rollout = ReleaseRollout(
            number=max(stored.revision, last.number) + 1,
            candidate=body.to,
            served=last.in_force,
            started_at=now,
            started_by=by,
            commits_after=await self.commits.last(),
            **steps,
        )
        return await self.put(noted(rollout, "started", at=now, by=by, reason=body.note), stored)

    def status(self, rollout: ReleaseRollout) -> web.Response:
        """Return the reply with a state, and the agents of each colour."""
        agents: dict[str, dict[str, str]] = {}
        for each in self.processes.alive():
            if each.service == "agents":
                agents.setdefault(each.colour, {})[each.instance] = each.version
        return json_response(_ReleaseStatus(rollout=rollout, observed=self.observed(rollout), agents=agents))

"""/v1/ops/fleet/rollout: start the roll-out of a fleet version, show, pause, resume and abort it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta
from trunkline_chassis.errors import FenceError
from trunkline_chassis.fleet_store import StoredRollout
from trunkline_chassis.settings import McpCommands
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.rollout import FleetRollout, RolloutAction

from trunkline_ingress.core.operators import ADMINS, VIEWERS
from trunkline_ingress.core.rollout.decisions import noted
from trunkline_ingress.handlers.access import Route, author_of, operators
from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.handlers.ops.fleet import (
    refuse_defects,
    refuse_disallowed_commands,
    refuse_during_release,
    refuse_during_rollout,
)
from trunkline_ingress.operator_ports import CommitFeed, FleetStore, ReleaseStore, RolloutStore
from trunkline_ingress.ports import LiveProcesses

_log: Final = structlog.get_logger(__name__)
_ALL: Final = 100


class StartRollout(msgspec.Struct, kw_only=True):
    """Body of `POST /v1/ops/fleet/rollout`: roll this fleet out as the successor of version `after`."""

    fleet: Fleet
    after: int
    shares: Annotated[list[Annotated[int, Meta(ge=1, le=100)]], Meta(min_length=1, max_length=20)]
    """Shares of new conversations in percent, each greater than the one before; 100 follows by itself."""
    hold_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 600.0
    min_turns: Annotated[int, Meta(ge=1, le=1_000_000)] = 30
    slow_s: Annotated[float, Meta(gt=0, le=600)] = 1.0
    by: Annotated[str, Meta(min_length=1)] = "operator"
    note: str = ""


class ChangeRollout(msgspec.Struct, kw_only=True):
    """Body of the changes of a running roll-out."""

    by: Annotated[str, Meta(min_length=1)] = "operator"


class _RolloutStatus(msgspec.Struct, kw_only=True):
    rollout: FleetRollout
    observed: str
    """Counts of the controller now, empty without one."""


@dataclass(frozen=True, slots=True)
class RolloutOps:
    """Handlers for the roll-out of a version."""

    rollouts: RolloutStore
    releases: ReleaseStore
    fleets: FleetStore
    commits: CommitFeed
    processes: LiveProcesses
    mcp_commands: McpCommands
    now: Callable[[], float]

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/fleet/rollout", self.show, operators(VIEWERS)),
            Route("POST", "/v1/ops/fleet/rollout", self.start, operators(ADMINS)),
            Route("POST", "/v1/ops/fleet/rollout/pause", self.pause, operators(ADMINS)),
            Route("POST", "/v1/ops/fleet/rollout/resume", self.resume, operators(ADMINS)),
            Route("POST", "/v1/ops/fleet/rollout/abort", self.abort, operators(ADMINS)),
        ]

    async def show(self, _: web.Request) -> web.Response:
        """Return the last roll-out, and the counts of its controller."""
        return self._status(_existing(await self.rollouts.read()))

    async def start(self, request: web.Request) -> web.Response:
        """Publish a candidate and the state of its roll-out; the controller does the rest."""
        body = await body_of(request, StartRollout)
        if sorted(set(body.shares)) != body.shares:
            raise web.HTTPBadRequest(text="shares: each must be greater than the one before")
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
            shares=body.shares if body.shares[-1] == _ALL else [*body.shares, _ALL],
            hold_s=body.hold_s,
            min_turns=body.min_turns,
            slow_s=body.slow_s,
            started_at=now,
            started_by=by,
            commits_after=await self.commits.last(),
        )
        return await self._put(noted(rollout, "started", at=now, by=by, reason=body.note), stored)

    async def pause(self, request: web.Request) -> web.Response:
        """Keep the share; the candidate is still withdrawn if it is worse."""
        return await self._change(request, "paused", is_paused=True)

    async def resume(self, request: web.Request) -> web.Response:
        """Go on from the share of the pause."""
        return await self._change(request, "resumed", is_paused=False)

    async def abort(self, request: web.Request) -> web.Response:
        """Withdraw the candidate."""
        return await self._change(request, "withdrawn", phase="withdrawn", share=0)

    async def _change(self, request: web.Request, action: RolloutAction, **changes: object) -> web.Response:
        body = await body_of(request, ChangeRollout)
        stored = await self.rollouts.read()
        rollout = _existing(stored)
        if not rollout.is_active or rollout.phase == "finishing":
            raise web.HTTPConflict(text=f"the roll-out of candidate {rollout.candidate} is {rollout.phase}")
        changed = msgspec.structs.replace(rollout, **changes)
        by = author_of(request, body.by)
        reason = "aborted by an operator" if action == "withdrawn" else ""
        return await self._put(noted(changed, action, at=self.now(), by=by, reason=reason), stored)

    async def _put(self, rollout: FleetRollout, stored: StoredRollout) -> web.Response:
        try:
            await self.rollouts.put(rollout, after=stored.revision)
        except FenceError as error:
            raise web.HTTPConflict(text="the roll-out has changed meanwhile, try again") from error
        last = rollout.decisions[-1]
        _log.info("rollout.changed", candidate=rollout.candidate, action=last.action, by=last.by)
        return self._status(rollout)

    def _status(self, rollout: FleetRollout) -> web.Response:
        key = f"roll-out of {rollout.candidate}"
        observed = (each.detail[key] for each in self.processes.alive() if key in each.detail)
        return json_response(_RolloutStatus(rollout=rollout, observed=next(observed, "")))


def _existing(stored: StoredRollout) -> FleetRollout:
    if stored.rollout is None:
        reason = "the state of the last roll-out cannot be read" if stored.revision else "nothing has been rolled out"
        raise web.HTTPNotFound(text=reason)
    return stored.rollout

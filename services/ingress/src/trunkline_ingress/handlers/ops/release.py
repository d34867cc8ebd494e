"""/v1/ops/release: the colour in force; start the roll-out of a release, pause, resume and abort it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta
from trunkline_chassis.errors import FenceError
from trunkline_chassis.release_view import StoredRelease
from trunkline_protocols.rollout import ReleaseRollout, RolloutAction
from trunkline_protocols.subjects import Colour

from trunkline_ingress.core.operators import ADMINS, VIEWERS
from trunkline_ingress.core.rollout.decisions import noted
from trunkline_ingress.handlers.access import Route, author_of, operators
from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.handlers.ops.fleet import refuse_during_release, refuse_during_rollout
from trunkline_ingress.operator_ports import CommitFeed, ReleaseStore, RolloutStore
from trunkline_ingress.ports import LiveProcesses

_log: Final = structlog.get_logger(__name__)
_ALL: Final = 100


class StartRelease(msgspec.Struct, kw_only=True):
    """Body of `POST /v1/ops/release`: roll the release of the agents with the colour `to` out."""

    to: Colour
    shares: Annotated[list[Annotated[int, Meta(ge=1, le=100)]], Meta(min_length=1, max_length=20)]
    """Shares of new conversations in percent, each greater than the one before; 100 follows by itself."""
    hold_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 600.0
    min_turns: Annotated[int, Meta(ge=1, le=1_000_000)] = 30
    slow_s: Annotated[float, Meta(gt=0, le=600)] = 1.0
    by: Annotated[str, Meta(min_length=1)] = "operator"
    note: str = ""


class ChangeRelease(msgspec.Struct, kw_only=True):
    """Body of the changes of a running roll-out."""

    by: Annotated[str, Meta(min_length=1)] = "operator"


class _ReleaseStatus(msgspec.Struct, kw_only=True):
    rollout: ReleaseRollout
    observed: str
    """Counts of the controller now, empty without one."""
    agents: dict[str, dict[str, str]]
    """Version of each agents process, by instance, by colour."""


@dataclass(frozen=True, slots=True)
class ReleaseOps:
    """Handlers for the roll-out of a release."""

    releases: ReleaseStore
    rollouts: RolloutStore
    commits: CommitFeed
    processes: LiveProcesses
    now: Callable[[], float]

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/release", self.show, operators(VIEWERS)),
            Route("POST", "/v1/ops/release", self.start, operators(ADMINS)),
            Route("POST", "/v1/ops/release/pause", self.pause, operators(ADMINS)),
            Route("POST", "/v1/ops/release/resume", self.resume, operators(ADMINS)),
            Route("POST", "/v1/ops/release/abort", self.abort, operators(ADMINS)),
        ]

    async def show(self, _: web.Request) -> web.Response:
        """Return the last roll-out, the counts of its controller, and the agents of each colour."""
        return self._status(_existing(await self.releases.read()))

    async def start(self, request: web.Request) -> web.Response:
        """Store the state of a new roll-out; the controller does the rest."""
        body = await body_of(request, StartRelease)
        if sorted(set(body.shares)) != body.shares:
            raise web.HTTPBadRequest(text="shares: each must be greater than the one before")
        stored = await self.releases.read()
        last = _existing(stored)
        refuse_during_release(last)
        refuse_during_rollout((await self.rollouts.read()).rollout)
        if body.to == last.in_force:
            raise web.HTTPConflict(text=f"release {body.to} is in force already")
        by, now = author_of(request, body.by), self.now()
        rollout = ReleaseRollout(
            number=max(stored.revision, last.number) + 1,
            candidate=body.to,
            served=last.in_force,
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
        body = await body_of(request, ChangeRelease)
        stored = await self.releases.read()
        rollout = _existing(stored)
        if not rollout.is_active or rollout.phase == "finishing":
            raise web.HTTPConflict(text=f"the roll-out of release {rollout.candidate} is {rollout.phase}")
        changed = msgspec.structs.replace(rollout, **changes)
        by = author_of(request, body.by)
        reason = "aborted by an operator" if action == "withdrawn" else ""
        return await self._put(noted(changed, action, at=self.now(), by=by, reason=reason), stored)

    async def _put(self, rollout: ReleaseRollout, stored: StoredRelease) -> web.Response:
        try:
            await self.releases.put(rollout, after=stored.revision)
        except FenceError as error:
            raise web.HTTPConflict(text="the roll-out has changed meanwhile, try again") from error
        last = rollout.decisions[-1]
        _log.info("rollout.changed", candidate=rollout.candidate, action=last.action, by=last.by)
        return self._status(rollout)

    def _status(self, rollout: ReleaseRollout) -> web.Response:
        key = f"roll-out of {rollout.candidate}"
        alive = self.processes.alive()
        observed = (each.detail[key] for each in alive if key in each.detail)
        agents: dict[str, dict[str, str]] = {}
        for each in alive:
            if each.service == "agents":
                agents.setdefault(each.colour, {})[each.instance] = each.version
        return json_response(_ReleaseStatus(rollout=rollout, observed=next(observed, ""), agents=agents))


def _existing(stored: StoredRelease) -> ReleaseRollout:
    if stored.rollout is None:
        unreadable = "the state of the last roll-out cannot be read"
        reason = unreadable if stored.revision else "no agents have a colour: start them with TRUNKLINE_COLOUR"
        raise web.HTTPNotFound(text=reason)
    return stored.rollout

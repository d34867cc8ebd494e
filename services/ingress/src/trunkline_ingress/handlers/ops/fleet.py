"""/v1/ops/fleet: show, apply and roll back versions of the fleet."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta
from trunkline_chassis.errors import FenceError
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_chassis.settings import McpCommands
from trunkline_protocols.fleet import Fleet, FleetOrigin
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout
from trunkline_protocols.rules.fleet import disallowed_commands, find_defect

from trunkline_ingress.core.operators import ADMINS, VIEWERS
from trunkline_ingress.handlers.access import Route, author_of, operators
from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.operator_ports import FleetStore, ReleaseStore, RolloutStore
from trunkline_ingress.ports import LiveProcesses

_FLEET_SERVICES: Final = frozenset({"ingress", "conversation", "agents"})
"""Services that load the fleet."""


class _VersionSummary(msgspec.Struct, kw_only=True):
    version: int
    published_at: float
    published_by: str
    origin: FleetOrigin
    note: str
    agents: int
    specialties: list[str]


class _CurrentVersion(msgspec.Struct, kw_only=True):
    version: int
    published_at: float
    published_by: str
    origin: FleetOrigin
    note: str
    fleet: Fleet
    loaded_by: dict[str, int]
    """Loaded version of each process, by instance."""


class ApplyFleet(msgspec.Struct):
    """Body of `POST /v1/ops/fleet`: publish this fleet as the successor of version `after`."""

    fleet: Fleet
    after: int
    by: Annotated[str, Meta(min_length=1)] = "operator"
    note: str = ""


class RollBack(msgspec.Struct):
    """Body of `POST /v1/ops/fleet/rollback`: publish an older version again; 0 for the previous one."""

    to: int = 0
    by: Annotated[str, Meta(min_length=1)] = "operator"


@dataclass(frozen=True, slots=True)
class FleetOps:
    """Handlers for versions of the fleet."""

    store: FleetStore
    rollouts: RolloutStore
    releases: ReleaseStore
    processes: LiveProcesses
    mcp_commands: McpCommands
    """Commands that the operator's environment permits; no version of the fleet may have another one."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/fleet", self.show, operators(VIEWERS)),
            Route("GET", "/v1/ops/fleet/versions", self.versions, operators(VIEWERS)),
            Route("POST", "/v1/ops/fleet", self.apply, operators(ADMINS)),
            Route("POST", "/v1/ops/fleet/rollback", self.roll_back, operators(ADMINS)),
        ]

    async def show(self, _: web.Request) -> web.Response:
        """Return the current version and the version that each process has loaded."""
        current = await self._current()
        published = current.published
        return json_response(
            _CurrentVersion(
                version=current.version,
                published_at=published.published_at,
                published_by=published.published_by,
                origin=published.origin,
                note=published.note,
                fleet=published.fleet,
                loaded_by={
                    presence.instance: presence.fleet_version
                    for presence in self.processes.alive()
                    if presence.service in _FLEET_SERVICES
                },
            )
        )

    async def versions(self, _: web.Request) -> web.Response:
        """Return the retained versions, oldest first."""
        return json_response([_summary(version) for version in (await self.store.history()).versions])

    async def apply(self, request: web.Request) -> web.Response:
        """Publish a fleet; reject it as a whole if it is invalid."""
        body = await body_of(request, ApplyFleet)
        refuse_defects(body.fleet)
        return await self._publish(
            body.fleet, after=body.after, by=author_of(request, body.by), origin="apply", note=body.note
        )

    async def roll_back(self, request: web.Request) -> web.Response:
        """Publish an older version again; if the latest cannot be decoded, the previous is the last readable one."""
        body = await body_of(request, RollBack)
        history = await self.store.history()
        versions = history.versions
        if body.to:
            target = next((version for version in versions if version.version == body.to), None)
        elif history.is_latest_unreadable:
            target = versions[-1] if versions else None
        else:
            target = next((older for older in reversed(versions[:-1]) if older.fleet != versions[-1].fleet), None)
        if target is None:
            missing = f"version {body.to}" if body.to else "previous version"
            retained = ", ".join(str(version.version) for version in versions)
            raise web.HTTPNotFound(text=f"{missing} not found; retained versions: {retained}")
        return await self._publish(
            target.fleet,
            after=versions[-1].version,
            by=author_of(request, body.by),
            origin="rollback",
            note=f"rollback to version {target.version}",
        )

    async def _current(self) -> FleetVersion:
        current = await self.store.current()
        if current is None:
            raise web.HTTPNotFound(text="no fleet has been published")
        return current

    async def _publish(self, fleet: Fleet, *, after: int, by: str, origin: FleetOrigin, note: str) -> web.Response:
        refuse_disallowed_commands(fleet, self.mcp_commands)
        refuse_during_rollout((await self.rollouts.read()).rollout)
        refuse_during_release((await self.releases.read()).rollout)
        try:
            version = await self.store.publish(fleet, after=after, by=by, origin=origin, note=note)
        except FenceError as error:
            reason = f"version {after} is no longer the current one, compare with the current version again"
            raise web.HTTPConflict(text=reason) from error
        return json_response(_summary(version))


def refuse_during_rollout(rollout: FleetRollout | None) -> None:
    """Raise `HTTPConflict` if a roll-out is active: one change of the fleet at a time."""
    if rollout is not None and rollout.is_active:
        raise web.HTTPConflict(text=f"candidate {rollout.candidate} is being rolled out: abort it first")


def refuse_during_release(release: ReleaseRollout | None) -> None:
    """Raise `HTTPConflict` if the roll-out of a release is active."""
    if release is not None and release.is_active:
        raise web.HTTPConflict(text=f"release {release.candidate} is being rolled out: abort it first")


def refuse_defects(fleet: Fleet) -> None:
    """Raise `HTTPBadRequest` for the first defect of a fleet."""
    fault = find_defect(fleet)
    if fault is not None:
        raise web.HTTPBadRequest(text=f"{fault.subject}: {fault.key}: {fault.reason}")


def refuse_disallowed_commands(fleet: Fleet, allowed: McpCommands) -> None:
    """Raise `HTTPForbidden` for a command that the operator's environment does not permit."""
    refused = disallowed_commands(fleet, allowed)
    if refused:
        reason = f"the command {shlex.join(refused[0].command)!r} is not one of TRUNKLINE_MCP_COMMANDS"
        raise web.HTTPForbidden(text=f"tool {refused[0].name}: command: {reason}")


def _summary(version: FleetVersion) -> _VersionSummary:
    published = version.published
    return _VersionSummary(
        version=version.version,
        published_at=published.published_at,
        published_by=published.published_by,
        origin=published.origin,
        note=published.note,
        agents=len(published.fleet.agents),
        specialties=published.fleet.specialties,
    )

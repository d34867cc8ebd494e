"""/v1/ops/fleet: the fleet in force, the next one, the one before; and who has taken it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import FenceError
from trunkline_chassis.fleet_store import FleetVersion, publish_fleet, read_current_fleet, read_fleet_versions
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.provision import provision_work
from trunkline_protocols.fleet import Fleet, FleetOrigin
from trunkline_protocols.rules.fleet import fault_of

from trunkline_ingress.handlers.http import body_of, json_response

FLEET_SERVICES = frozenset({"ingress", "conversation", "agents"})
"""Services that follow the fleet."""


class _Version(msgspec.Struct, kw_only=True):
    version: int
    published_at: float
    published_by: str
    origin: FleetOrigin
    note: str
    agents: int
    specialties: list[str]


class _InForce(msgspec.Struct, kw_only=True):
    version: int
    published_at: float
    published_by: str
    origin: FleetOrigin
    note: str
    fleet: Fleet
    taken_by: dict[str, int]
    """The version that each process has taken, by instance."""


class ApplyFleet(msgspec.Struct):
    """Body of `POST /v1/ops/fleet`: put this fleet in force behind version `after`."""

    fleet: Fleet
    after: int
    by: Annotated[str, Meta(min_length=1)] = "operator"
    note: str = ""


class RollBack(msgspec.Struct):
    """Body of `POST /v1/ops/fleet/rollback`: put an older version in force again, 0 for the one before."""

    to: int = 0
    by: Annotated[str, Meta(min_length=1)] = "operator"


@dataclass(frozen=True, slots=True)
class FleetOps:
    """Puts fleets in force."""

    bus: Bus
    presences: PresenceRegistry

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where is what."""
        return [
            web.get("/v1/ops/fleet", self.show),
            web.get("/v1/ops/fleet/versions", self.versions),
            web.post("/v1/ops/fleet", self.apply),
            web.post("/v1/ops/fleet/rollback", self.roll_back),
        ]

    async def show(self, _: web.Request) -> web.Response:
        """Tell the fleet in force and who has taken it."""
        current = await self._current()
        published = current.published
        return json_response(
            _InForce(
                version=current.version,
                published_at=published.published_at,
                published_by=published.published_by,
                origin=published.origin,
                note=published.note,
                fleet=published.fleet,
                taken_by={
                    presence.instance: presence.fleet_version
                    for presence in self.presences.alive()
                    if presence.service in FLEET_SERVICES
                },
            )
        )

    async def versions(self, _: web.Request) -> web.Response:
        """Tell the versions that are kept, oldest first."""
        return json_response([_line(version) for version in await read_fleet_versions(self.bus)])

    async def apply(self, request: web.Request) -> web.Response:
        """Put a fleet in force, or refuse it whole."""
        order = await body_of(request, ApplyFleet)
        fault = fault_of(order.fleet)
        if fault is not None:
            raise web.HTTPBadRequest(text=f"{fault.agent or 'fleet'}: {fault.key}: {fault.reason}")
        return await self._publish(order.fleet, after=order.after, by=order.by, origin="apply", note=order.note)

    async def roll_back(self, request: web.Request) -> web.Response:
        """Put an older version in force again."""
        order = await body_of(request, RollBack)
        versions = await read_fleet_versions(self.bus)
        if order.to:
            wanted = next((kept for kept in versions if kept.version == order.to), None)
        else:
            wanted = next((kept for kept in reversed(versions[:-1]) if kept.fleet != versions[-1].fleet), None)
        if wanted is None:
            kept = ", ".join(str(version.version) for version in versions)
            raise web.HTTPNotFound(text=f"no version {order.to or 'before'} to go back to; kept are {kept}")
        return await self._publish(
            wanted.fleet,
            after=versions[-1].version,
            by=order.by,
            origin="rollback",
            note=f"back to version {wanted.version}",
        )

    async def _current(self) -> FleetVersion:
        current = await read_current_fleet(self.bus)
        if current is None:
            raise web.HTTPNotFound(text="no fleet is in force")
        return current

    async def _publish(self, fleet: Fleet, *, after: int, by: str, origin: FleetOrigin, note: str) -> web.Response:
        try:
            # Their queues first: a conversation may be handed over as soon as the fleet is in force.
            await provision_work(self.bus, fleet.specialties)
            version = await publish_fleet(self.bus, fleet, after=after, by=by, origin=origin, note=note)
        except FenceError as error:
            reason = f"version {after} is no longer in force: look at the difference again"
            raise web.HTTPConflict(text=reason) from error
        return json_response(_line(version))


def _line(version: FleetVersion) -> _Version:
    published = version.published
    return _Version(
        version=version.version,
        published_at=published.published_at,
        published_by=published.published_by,
        origin=published.origin,
        note=published.note,
        agents=len(published.fleet.agents),
        specialties=published.fleet.specialties,
    )

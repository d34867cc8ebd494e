"""Fleet versions in KV FLEET: read, publish behind a fence, seed from the fleet folder, and roll out a candidate."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from trunkline_protocols import codec
from trunkline_protocols.fleet import Fleet, FleetOrigin, FleetPublished
from trunkline_protocols.streams import CANDIDATE_KEY, FLEET, FLEET_KEY

from trunkline_chassis.errors import FenceError
from trunkline_chassis.rollout_store import ROLLOUT_SUBJECT, read_rollout
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_chassis.undecodable import report_undecodable

if TYPE_CHECKING:
    from trunkline_chassis.bus import Bus, StreamMessage

_log: Final = structlog.get_logger(__name__)

SUBJECT: Final = f"$KV.{FLEET.name}.{FLEET_KEY}"
CANDIDATE_SUBJECT: Final = f"$KV.{FLEET.name}.{CANDIDATE_KEY}"
SUBJECTS: Final = (SUBJECT, CANDIDATE_SUBJECT, ROLLOUT_SUBJECT)
"""Keys that a process follows."""
STREAM: Final = f"KV_{FLEET.name}"


@dataclass(frozen=True, slots=True)
class FleetVersion:
    """A fleet and its version number: the revision of its key."""

    version: int
    published: FleetPublished

    @property
    def fleet(self) -> Fleet:
        """The fleet of this version."""
        return self.published.fleet


@dataclass(frozen=True, slots=True)
class FleetHistory:
    """The retained versions, oldest first, and the numbers of those that cannot be decoded."""

    versions: list[FleetVersion]
    unreadable: list[int]

    @property
    def is_latest_unreadable(self) -> bool:
        """Return whether the last readable version stands in for a later one."""
        return bool(self.unreadable) and (not self.versions or self.unreadable[-1] > self.versions[-1].version)


async def read_current_fleet(bus: Bus) -> FleetVersion | None:
    """Read the latest version that can be decoded; None without a readable one."""
    stored = await bus.last_message(STREAM, SUBJECT)
    if stored is None:
        return None
    latest = _decode(stored)
    if latest is None:
        versions = (await read_fleet_history(bus)).versions
        latest = versions[-1] if versions else None
    return latest


async def read_fleet_history(bus: Bus, *, after: int = 0) -> FleetHistory:
    """Read the retained versions over `after`."""
    history = FleetHistory([], [])
    for stored in await bus.read_messages(STREAM, SUBJECT, after=after):
        version = _decode(stored)
        if version is not None:
            history.versions.append(version)
        else:
            history.unreadable.append(stored.seq)
    return history


def _decode(stored: StreamMessage) -> FleetVersion | None:
    """Return a version, None with an alert if it cannot be decoded."""
    try:
        return FleetVersion(stored.seq, codec.fleet.decode(stored.payload))
    except codec.DecodeError as error:
        report_undecodable("fleet", stored.subject, error, sequence=stored.seq)
        return None


async def publish_fleet(
    bus: Bus, fleet: Fleet, *, after: int, by: str, origin: FleetOrigin, note: str = ""
) -> FleetVersion:
    """Publish a fleet as the successor of version `after`; raise `FenceError` if another version came first.

    Later versions that cannot be decoded do not count: no process has loaded them.
    """
    later = await read_fleet_history(bus, after=after)
    if later.versions:
        raise FenceError(f"version {later.versions[-1].version} has been published since")
    after = later.unreadable[-1] if later.unreadable else after
    published = FleetPublished(fleet=fleet, published_at=time.time(), published_by=by, origin=origin, note=note)
    appended = await bus.append(
        SUBJECT,
        codec.encode(published),
        message_id=f"fleet-{after}-{published.published_at:.6f}",
        fence=(SUBJECT, after),
    )
    return FleetVersion(appended.seq, published)


async def seed_fleet(bus: Bus, fleet: Fleet, *, by: str) -> FleetVersion:
    """Publish the fleet of the suite's folder, unless an operator has applied a version: that one is kept."""
    current = await read_current_fleet(bus)
    if current is not None and (current.published.origin != "start" or current.fleet == fleet):
        return current
    return await publish_fleet(bus, fleet, after=current.version if current else 0, by=by, origin="start")


async def restore_fleet(bus: Bus, known: FleetVersion) -> None:
    """Publish the version that this process has loaded if the bucket is empty: the server has lost its content."""
    if await bus.last_message(STREAM, SUBJECT) is not None:
        return
    try:
        restored = await publish_fleet(
            bus, known.fleet, after=0, by=known.published.published_by, origin=known.published.origin
        )
    except FenceError:
        return  # another process was faster
    _log.warning("fleet.restored", version=known.version, as_version=restored.version)


# -- roll-outs ---


async def read_served_fleets(bus: Bus) -> ServedFleets | None:
    """Read the served version and the candidate of a roll-out; None without a readable served version.

    The candidate counts only with a readable state that names this very revision.
    """
    served = await read_current_fleet(bus)
    if served is None:
        return None
    rollout = (await read_rollout(bus)).rollout
    if rollout is None:
        return ServedFleets(served)
    stored = await bus.last_message(STREAM, CANDIDATE_SUBJECT)
    candidate = _decode(stored) if stored is not None and stored.seq == rollout.candidate else None
    return ServedFleets(served) if candidate is None else ServedFleets(served, candidate, rollout)


async def publish_candidate(bus: Bus, fleet: Fleet, *, by: str, note: str) -> FleetVersion:
    """Publish a candidate; no conversation has it before a roll-out names its version."""
    published = FleetPublished(fleet=fleet, published_at=time.time(), published_by=by, origin="apply", note=note)
    appended = await bus.append(
        CANDIDATE_SUBJECT, codec.encode(published), message_id=f"candidate-{by}-{published.published_at:.6f}"
    )
    return FleetVersion(appended.seq, published)

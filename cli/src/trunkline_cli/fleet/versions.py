"""Versions of the fleet in the operators' API: read, compare with a folder, apply, roll back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec
from rich.markup import escape
from rich.table import Table
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols.fleet import Fleet

from trunkline_cli.client import get, post
from trunkline_cli.fleet.core.differences import differences
from trunkline_cli.settings import ClientSettings

_PATH: Final = "/v1/ops/fleet"
_LOADED_TIMEOUT_S: Final = 40.0
_POLL_INTERVAL_S: Final = 0.25


class VersionSummary(msgspec.Struct, kw_only=True):
    """A published version of the fleet, without its content."""

    version: int
    published_at: float
    published_by: str
    origin: str
    note: str
    agents: int
    specialties: list[str]


class ActiveFleet(msgspec.Struct, kw_only=True):
    """The active version of the fleet; `loaded_by` has the version that each process has loaded, by instance."""

    version: int
    published_at: float
    published_by: str
    origin: str
    note: str
    fleet: Fleet
    loaded_by: dict[str, int]


def read_active(settings: ClientSettings) -> ActiveFleet:
    """Return the active fleet."""
    return get(settings, _PATH, ActiveFleet)


def read_versions(settings: ClientSettings) -> list[VersionSummary]:
    """Return the retained versions, oldest first."""
    return get(settings, f"{_PATH}/versions", list[VersionSummary])


def versions_table(retained: list[VersionSummary]) -> Table:
    """Return versions as a table, the active one last."""
    table = Table(box=None, pad_edge=False)
    for heading in ("version", "published", "by", "origin", "agents", "specialties", "note"):
        table.add_column(heading, overflow="fold")
    for version in retained:
        table.add_row(
            str(version.version),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(version.published_at)),
            version.published_by,
            version.origin,
            str(version.agents),
            str(len(version.specialties)),
            escape(version.note),
        )
    return table


def compare_folder(settings: ClientSettings, folder: Path) -> tuple[ActiveFleet, Fleet, list[str]]:
    """Load a folder and return the active fleet, the folder's fleet and their differences.

    Raises `FleetError` if the folder is not a valid fleet.
    """
    fleet = load_fleet(folder)
    active = read_active(settings)
    return active, fleet, list(differences(active.fleet, fleet))


def apply_fleet(settings: ClientSettings, fleet: Fleet, *, after: int, by: str, note: str) -> VersionSummary:
    """Publish a fleet as the successor of version `after`; refused if another version was published meanwhile."""
    return post(settings, _PATH, {"fleet": fleet, "after": after, "by": by, "note": note}, VersionSummary)


def roll_back(settings: ClientSettings, *, to: int, by: str) -> VersionSummary:
    """Publish an older version again; 0 is the previous one."""
    return post(settings, f"{_PATH}/rollback", {"to": to, "by": by}, VersionSummary)


def wait_until_loaded(settings: ClientSettings, version: int) -> list[str]:
    """Wait up to 40 s until every process has loaded a version; return the instances that have not."""
    deadline = time.monotonic() + _LOADED_TIMEOUT_S
    while True:
        behind = [instance for instance, loaded in read_active(settings).loaded_by.items() if loaded < version]
        if not behind or time.monotonic() > deadline:
            return sorted(behind)
        time.sleep(_POLL_INTERVAL_S)

"""`trunkline fleet`: look at the fleet in force, put another one in force while conversations go on, go back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from rich.markup import escape
from rich.table import Table
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols.fleet import Agent, Fleet

from trunkline_cli.client import get, post
from trunkline_cli.settings import ClientSettings

_TAKEN_TIMEOUT_S: Final = 40.0
_LOOK_EVERY_S: Final = 0.25


class Version(msgspec.Struct, kw_only=True):
    """A version of the fleet, as the API tells it."""

    version: int
    published_at: float
    published_by: str
    origin: str
    note: str
    agents: int
    specialties: list[str]


class InForce(msgspec.Struct, kw_only=True):
    """The fleet in force, and the version that each process has taken."""

    version: int
    published_at: float
    published_by: str
    origin: str
    note: str
    fleet: Fleet
    loaded_by: dict[str, int]


def in_force(settings: ClientSettings) -> InForce:
    """Read the fleet in force."""
    return get(settings, "/v1/ops/fleet", InForce)


def versions(settings: ClientSettings) -> list[Version]:
    """Read the versions that are kept."""
    return get(settings, "/v1/ops/fleet/versions", list[Version])


def versions_table(kept: list[Version]) -> Table:
    """Draw the versions, the one in force last."""
    table = Table(box=None, pad_edge=False)
    for heading in ("version", "since", "by", "how", "agents", "specialties", "note"):
        table.add_column(heading, overflow="fold")
    for version in kept:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(version.published_at))
        table.add_row(
            str(version.version),
            since,
            version.published_by,
            version.origin,
            str(version.agents),
            str(len(version.specialties)),
            escape(version.note),
        )
    return table


def compare(settings: ClientSettings, folder: Path) -> tuple[InForce, Fleet, list[str]]:
    """Read a folder whole, or refuse it; tell how it differs from the fleet in force."""
    fleet = load_fleet(folder)
    current = in_force(settings)
    return current, fleet, list(differences(current.fleet, fleet))


def apply(settings: ClientSettings, fleet: Fleet, *, after: int, by: str, note: str) -> Version:
    """Put a fleet in force behind the version that it was compared with."""
    return post(settings, "/v1/ops/fleet", {"fleet": fleet, "after": after, "by": by, "note": note}, Version)


def roll_back(settings: ClientSettings, *, to: int, by: str) -> Version:
    """Put an older version in force again."""
    return post(settings, "/v1/ops/fleet/rollback", {"to": to, "by": by}, Version)


def wait_until_taken(settings: ClientSettings, version: int) -> list[str]:
    """Wait until every process has taken a version; returns those that have not."""
    deadline = time.monotonic() + _TAKEN_TIMEOUT_S
    while True:
        behind = [instance for instance, taken in in_force(settings).loaded_by.items() if taken < version]
        if not behind or time.monotonic() > deadline:
            return sorted(behind)
        time.sleep(_LOOK_EVERY_S)


def differences(old: Fleet, new: Fleet) -> Iterator[str]:
    """Tell in words how one fleet differs from another, a line each."""
    yield from _changed("company", old.company, new.company)
    yield from _changed("escalation", old.escalation, new.escalation)
    before, after = {agent.name: agent for agent in old.agents}, {agent.name: agent for agent in new.agents}
    for name in sorted(before.keys() | after.keys()):
        match before.get(name), after.get(name):
            case None, Agent(specialty=specialty):
                yield f"+ agent {name} ({specialty})"
            case Agent(specialty=specialty), None:
                yield f"- agent {name} ({specialty})"
            case Agent() as was, Agent() as becomes:
                yield from _changed(f"agent {name}", was, becomes)
            case _:
                pass


def _changed(what: str, old: msgspec.Struct, new: msgspec.Struct) -> Iterator[str]:
    for field in old.__struct_fields__:
        was, becomes = getattr(old, field), getattr(new, field)
        if was == becomes:
            continue
        if isinstance(was, list) and isinstance(becomes, list):
            gone, come = [item for item in was if item not in becomes], [item for item in becomes if item not in was]
            yield f"~ {what}: {field}: {len(come)} added, {len(gone)} removed{_first(come)}"
        else:
            yield f"~ {what}: {field}: {_short(was)} -> {_short(becomes)}"


def _first(items: list[object]) -> str:
    return f" (first: {_short(items[0])})" if items else ""


def _short(value: object, limit: int = 80) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"

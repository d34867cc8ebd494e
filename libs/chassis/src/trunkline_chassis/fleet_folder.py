"""Loader of the fleet folder: TOML files, loaded completely or rejected with file, line and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from trunkline_protocols.fleet import Agent, Fleet, FleetFile, Reader, Tool
from trunkline_protocols.rules.fleet import find_defect

from trunkline_chassis.toml_file import TomlFileError, line_of, read_toml

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
N = TypeVar("N", Tool, Reader)


class FleetError(TomlFileError):
    """An invalid fleet folder."""


def load_fleet(folder: Path) -> Fleet:
    """Load `fleet.toml`, `agents/<specialty>/<name>.toml`, `tools/<name>.toml` and `context/<name>.toml`.

    Raises `FleetError` for the first defect.
    """
    company = _read_file(folder / "fleet.toml", FleetFile)
    agent_files = sorted((folder / "agents").glob("*/*.toml"))
    agents = [_read_agent(file) for file in agent_files]
    tools = [_read_named(file, Tool) for file in sorted((folder / "tools").glob("*.toml"))]
    readers = [_read_named(file, Reader) for file in sorted((folder / "context").glob("*.toml"))]
    fleet = Fleet(
        company=company.company,
        agents=agents,
        escalation=company.escalation,
        tools=tools,
        readers=readers,
        customers=company.customers,
    )
    defect = find_defect(fleet)
    if defect is not None and (defect.tool or defect.reader):
        file = folder / ("tools" if defect.tool else "context") / f"{defect.tool or defect.reader}.toml"
        raise FleetError(file, defect.reason, line=line_of(file, defect.key))
    if defect is not None:
        file = {file.stem: file for file in agent_files}.get(defect.agent, folder / "agents")
        raise FleetError(file, defect.reason, line=line_of(file, defect.key) if defect.agent else 0)
    return fleet


def _read_agent(file: Path) -> Agent:
    agent = _read_file(file, Agent)
    if agent.name != file.stem:
        reason = f"name {agent.name!r} does not match the file name {file.name!r}"
        raise FleetError(file, reason, line=line_of(file, "name"))
    if agent.specialty != file.parent.name:
        reason = f"specialty {agent.specialty!r} does not match the folder name {file.parent.name!r}"
        raise FleetError(file, reason, line=line_of(file, "specialty"))
    return agent


def _read_named(file: Path, type_: type[N]) -> N:
    record = _read_file(file, type_)
    if record.name != file.stem:
        reason = f"name {record.name!r} does not match the file name {file.name!r}"
        raise FleetError(file, reason, line=line_of(file, "name"))
    return record


def _read_file(file: Path, type_: type[T]) -> T:
    try:
        return read_toml(file, type_)
    except TomlFileError as error:
        raise FleetError(file, error.reason, line=error.line) from error

"""Loader of the fleet folder: TOML files, loaded completely or rejected with file, line and reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from trunkline_protocols import codec
from trunkline_protocols.fleet import Agent, Fleet, FleetFile, Reader, Tool
from trunkline_protocols.rules.fleet import find_defect

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
N = TypeVar("N", Tool, Reader)


class FleetError(ValueError):
    """An invalid fleet folder: `file`, `line` (0: the whole file) and `reason`."""

    def __init__(self, file: Path, reason: str, *, line: int = 0) -> None:
        """Keep the fields; the message combines them."""
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


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
        raise FleetError(file, defect.reason, line=_line_of(file, defect.key))
    if defect is not None:
        file = {file.stem: file for file in agent_files}.get(defect.agent, folder / "agents")
        raise FleetError(file, defect.reason, line=_line_of(file, defect.key) if defect.agent else 0)
    return fleet


def _read_agent(file: Path) -> Agent:
    agent = _read_file(file, Agent)
    if agent.name != file.stem:
        reason = f"name {agent.name!r} does not match the file name {file.name!r}"
        raise FleetError(file, reason, line=_line_of(file, "name"))
    if agent.specialty != file.parent.name:
        reason = f"specialty {agent.specialty!r} does not match the folder name {file.parent.name!r}"
        raise FleetError(file, reason, line=_line_of(file, "specialty"))
    return agent


def _read_named(file: Path, type_: type[N]) -> N:
    record = _read_file(file, type_)
    if record.name != file.stem:
        reason = f"name {record.name!r} does not match the file name {file.name!r}"
        raise FleetError(file, reason, line=_line_of(file, "name"))
    return record


def _read_file(file: Path, type_: type[T]) -> T:
    try:
        return codec.decode_toml(file.read_text(encoding="utf-8-sig"), type_)
    except codec.ValidationError as error:
        keys = re.findall(r"[.`](\w+)", str(error))
        raise FleetError(file, str(error), line=_line_of(file, *reversed(keys))) from error
    except codec.DecodeError as error:
        position = re.search(r"line (\d+)", str(error))
        raise FleetError(file, str(error), line=int(position[1]) if position else 0) from error
    except (OSError, UnicodeDecodeError) as error:
        raise FleetError(file, str(error)) from error


def _line_of(file: Path, *keys: str) -> int:
    """Return the line that sets the first of these keys found in the file, 0 if no key is found."""
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    for key in keys:
        for number, line in enumerate(lines, start=1):
            if re.match(rf"\s*(\[+.*\b)?{re.escape(key)}\b", line):
                return number
    return 0

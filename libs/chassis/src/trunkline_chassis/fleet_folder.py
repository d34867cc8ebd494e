"""A fleet as its authors write it: a folder of TOML files, read whole or refused with file, line and reason."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from trunkline_protocols.fleet import BUILT_IN_TOOLS, Agent, Company, EscalationPolicy, Fleet, Tool
from trunkline_protocols.rules.fleet import fault_of
from trunkline_protocols.wire import Record

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class FleetError(ValueError):
    """A fleet is not usable; `file`, `line` (0: the file as a whole) and `reason` say where and why."""

    def __init__(self, file: Path, reason: str, *, line: int = 0) -> None:
        """Keep the fields; the message is for people."""
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class _CompanyFile(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    company: Company
    escalation: EscalationPolicy = EscalationPolicy()


def load_fleet(folder: Path) -> Fleet:
    """Read `fleet.toml` and `agents/<specialty>/<name>.toml` below `folder`; raise `FleetError` on the first fault."""
    company = _read(folder / "fleet.toml", _CompanyFile)
    files = {file.stem: file for file in sorted((folder / "agents").glob("*/*.toml"))}
    agents = [_agent(file) for file in sorted((folder / "agents").glob("*/*.toml"))]
    tools = [_tool(file) for file in sorted((folder / "tools").glob("*.toml"))]
    fleet = Fleet(company=company.company, agents=agents, escalation=company.escalation, tools=tools)
    fault = fault_of(fleet)
    if fault is not None:
        file = files.get(fault.agent, folder / "agents")
        raise FleetError(file, fault.reason, line=_line_of(file, fault.key) if fault.agent else 0)
    return fleet


def _agent(file: Path) -> Agent:
    agent = _read(file, Agent)
    if agent.name != file.stem:
        reason = f"name is {agent.name!r}, the file says {file.stem!r}"
        raise FleetError(file, reason, line=_line_of(file, "name"))
    if agent.specialty != file.parent.name:
        reason = f"specialty is {agent.specialty!r}, the folder says {file.parent.name!r}"
        raise FleetError(file, reason, line=_line_of(file, "specialty"))
    return agent


def _tool(file: Path) -> Tool:
    tool = _read(file, Tool)
    if tool.name != file.stem or tool.name in BUILT_IN_TOOLS:
        reason = f"name is {tool.name!r}, the file says {file.stem!r}"
        raise FleetError(file, reason, line=_line_of(file, "name"))
    if not tool.url.startswith(("http://", "https://")) and not (tool.kind == "mcp" and tool.command):
        raise FleetError(file, f"url: an address is needed, got {tool.url!r}", line=_line_of(file, "url"))
    return tool


def _read(file: Path, type_: type[T]) -> T:
    try:
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        return msgspec.convert(content, type_)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        raise FleetError(file, str(error), line=int(where[1]) if where else 0) from error
    except msgspec.ValidationError as error:
        keys = re.findall(r"[.`](\w+)", str(error))
        raise FleetError(file, str(error), line=_line_of(file, *reversed(keys))) from error
    except (OSError, UnicodeDecodeError) as error:
        raise FleetError(file, str(error)) from error


def _line_of(file: Path, *keys: str) -> int:
    """Return the line where the first of these keys is set, 0 when none is."""
    lines = file.read_text(encoding="utf-8").splitlines()
    for key in keys:
        for number, line in enumerate(lines, start=1):
            if re.match(rf"\s*(\[+.*\b)?{re.escape(key)}\b", line):
                return number
    return 0

"""Definitions of a fleet folder: company, agents, tools and readers, with every refusal of the loader as a finding."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec
from trunkline_protocols import decoding
from trunkline_protocols.fleet import TRIAGE, Agent, Company, Fleet, FleetFile, Reader, Tool
from trunkline_protocols.rules.fleet import FleetDefect, fleet_defects
from trunkline_protocols.wire import Record

from trunkline_cli.fleet.core.findings import Finding
from trunkline_cli.fleet.core.folder import AGENTS, FLEET_FILE, FleetFolder, FolderFile
from trunkline_cli.fleet.core.lines import KeyPath, dotted, line_of, lines_of_items
from trunkline_cli.fleet.core.shapes import UNKNOWN_KEY, salvage, shape_defects

T = TypeVar("T", bound=Record)

_NO_COMPANY: Final = Company(name="", description="", greeting="", clarify="", abstain="", examples=[])
_RULED_KEYS: Final = frozenset(
    {"kind", "method", "url", "command", "parameters", "writes", "bind", "unbound", "secret"}
)
"""Keys of a tool that depend on each other: if one is defective, the others are not judged."""

_KEYS_WITH_FACTS: Final = frozenset({"bind", "when", "topics", "replies"})
"""Keys of agents, tools and rules that name facts."""


@dataclass(frozen=True, slots=True)
class Definition(Generic[T]):
    """A record and its file; keys in `defective` have no usable value, and the record has a stand-in for them."""

    file: FolderFile
    record: T
    defective: frozenset[str] = frozenset()
    is_readable: bool = True

    def finding(self, path: KeyPath, reason: str, **fields: Any) -> Finding:  # noqa: ANN401 - fields of the finding
        """Return a finding at a key of the file."""
        return Finding(
            file=self.file.path, line=line_of(self.file.text, path), key=dotted(path), message=reason, **fields
        )

    def item_lines(self, path: KeyPath, items: list[str]) -> list[int]:
        """Return the lines of the items of an array of texts."""
        return lines_of_items(self.file.text, path, items)


@dataclass(frozen=True, slots=True)
class Definitions:
    """Everything that a fleet folder defines."""

    company: Definition[FleetFile]
    agents: tuple[Definition[Agent], ...]
    tools: tuple[Definition[Tool], ...]
    readers: tuple[Definition[Reader], ...] = ()

    def are_known(self, *keys: str) -> bool:
        """Return whether these keys of all agents could be read; else nothing follows from a value that is missing."""
        return all(agent.is_readable and not agent.defective & set(keys) for agent in self.agents)

    @property
    def fleet(self) -> Fleet:
        """Return the fleet, with stand-ins for what is defective."""
        return Fleet(
            company=self.company.record.company,
            agents=[agent.record for agent in self.agents],
            escalation=self.company.record.escalation,
            tools=[tool.record for tool in self.tools],
            readers=[reader.record for reader in self.readers if reader.is_readable and not reader.defective],
            customers=self.company.record.customers,
        )


def read_definitions(folder: FleetFolder) -> tuple[Definitions, list[Finding]]:
    """Decode every file of a folder, defective ones in part; return the refusals as errors."""
    findings: list[Finding] = []
    file = folder.fleet_file or FolderFile(FLEET_FILE, problem="file not found")
    company = _decode(file, FleetFile, findings)
    agents = [_decode(file, Agent, findings, name=file.stem, specialty=file.parent) for file in folder.agents()]
    tools = [_decode(file, Tool, findings, name=file.stem) for file in folder.tools()]
    readers = [_decode(file, Reader, findings, name=file.stem) for file in folder.readers()]
    for agent in agents:
        findings.extend(_misplaced(agent, name=agent.file.stem, specialty=agent.file.parent))
    for tool in tools:
        findings.extend(_misplaced(tool, name=tool.file.stem))
    for reader in readers:
        findings.extend(_misplaced(reader, name=reader.file.stem))
    definitions = Definitions(company, tuple(map(_as_its_file, agents)), tuple(tools), tuple(readers))
    misplaced = {agent.record.specialty for agent in agents} | {tool.file.stem for tool in tools}
    findings.extend(_inconsistencies(definitions, misplaced))
    return definitions, findings


def _decode(file: FolderFile, type_: type[T], findings: list[Finding], **fallback: str) -> Definition[T]:
    if file.problem:
        findings.append(Finding(severity="error", file=file.path, rule="unreadable", message=file.problem))
        return Definition(file, salvage({}, type_, **fallback), is_readable=False)
    try:
        table = decoding.decode_toml(file.text, dict[str, Any])
    except decoding.DecodeError as error:
        position = re.search(r"line (\d+)", str(error))
        line = int(position[1]) if position else 0
        findings.append(Finding(severity="error", file=file.path, line=line, rule="invalid-toml", message=str(error)))
        return Definition(file, salvage({}, type_, **fallback), is_readable=False)
    defects = list(shape_defects(table, type_))
    for path, reason in defects:
        hint = _hint(path, type_) if reason.startswith(UNKNOWN_KEY) else ""
        finding = Definition(file, _NO_COMPANY).finding(path, f"{reason}{hint}", severity="error", rule="invalid-key")
        findings.append(finding)
    if not defects:
        return Definition(file, decoding.convert(table, type_))
    defective = frozenset(str(path[0]) for path, _ in defects if path)
    return Definition(file, salvage(table, type_, **fallback), defective)


def _hint(path: KeyPath, type_: type[Record]) -> str:
    """Return where an unknown key belongs: TOML adds a line at the end of a file to the last table."""
    if len(path) == 1 or path[-1] not in {field.encode_name for field in msgspec.structs.fields(type_)}:
        return ""
    return f", move it above [{dotted(path[:-1])}]"


def _misplaced(definition: Definition[T], **expected: str) -> Iterator[Finding]:
    """Yield a name that is not the file name, and a specialty that is not the folder name."""
    for key, wanted in expected.items():
        found = getattr(definition.record, key)
        if found != wanted:
            place = "folder name" if key == "specialty" else "file name"
            reason = f"{found!r} does not match the {place} {wanted!r}"
            yield definition.finding((key,), reason, severity="error", rule="misplaced")


def _as_its_file(agent: Definition[Agent]) -> Definition[Agent]:
    """Return an agent with the name and the specialty of its file, so that a misplaced one has one finding only."""
    record = msgspec.structs.replace(agent.record, name=agent.file.stem, specialty=agent.file.parent)
    is_moved = record.specialty != agent.record.specialty
    defective = agent.defective | {"specialty"} if is_moved else agent.defective
    return dataclasses.replace(agent, record=record, defective=defective)


def _inconsistencies(definitions: Definitions, misplaced: set[str]) -> Iterator[Finding]:
    """Yield the inconsistencies that the loader refuses, except consequences of defects that are reported already.

    `misplaced` has the specialties and tools that exist once misplaced files are corrected.
    """
    are_readers_known = all(reader.is_readable and not reader.defective for reader in definitions.readers)
    for defect in fleet_defects(definitions.fleet):
        if defect.unknown and defect.unknown in misplaced:
            continue
        if not are_readers_known and defect.key in _KEYS_WITH_FACTS:
            # The fact may be one of a reader that could not be read.
            continue
        yield from _finding_of(defect, definitions, misplaced)


def _finding_of(defect: FleetDefect, definitions: Definitions, misplaced: set[str]) -> Iterator[Finding]:
    if defect.reader:
        readers = {reader.record.name: reader for reader in definitions.readers}
        yield _inconsistency(readers[defect.reader], defect)
    elif defect.tool:
        tool = {tool.record.name: tool for tool in definitions.tools}[defect.tool]
        if tool.is_readable and not (defect.key != "name" and tool.defective & _RULED_KEYS):
            yield _inconsistency(tool, defect)
    elif defect.agent:
        agent = {agent.record.name: agent for agent in definitions.agents}[defect.agent]
        if defect.unknown or defect.key != "consult" or "specialty" not in agent.defective:
            yield _inconsistency(agent, defect)
    elif defect.item:
        path: tuple[str | int, ...] = ("customers", "topics", defect.item)
        if defect.key == "when":
            names = [rule.name for rule in definitions.company.record.escalation.rules]
            path = ("escalation", "rules", names.index(defect.item), "when")
        yield definitions.company.finding(path, defect.reason, severity="error", rule="inconsistent")
    elif TRIAGE not in misplaced:
        yield Finding(severity="error", file=AGENTS, key=defect.key, rule="inconsistent", message=defect.reason)


def _inconsistency(definition: Definition[Any], defect: FleetDefect) -> Finding:
    return definition.finding((defect.key,), defect.reason, severity="error", rule="inconsistent")

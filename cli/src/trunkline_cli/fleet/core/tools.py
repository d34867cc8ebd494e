"""Tools that load but cannot be called as written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from trunkline_agents.core.schemas import find_violation
from trunkline_protocols.fleet import Tool
from trunkline_protocols.rules.tools import path_arguments

from trunkline_cli.fleet.core.definitions import Definition, Definitions
from trunkline_cli.fleet.core.findings import Finding

_SCHEMA_DEFECT: Final = "the tool's schema "
"""Beginning of a violation that is the schema's, not that of the arguments."""

_UNUSED_KEYS: Final[dict[str, tuple[str, ...]]] = {"mcp": ("parameters", "method", "idempotent"), "http": ("allow",)}
"""Keys that a kind of tool does not use."""


def tool_findings(definitions: Definitions) -> Iterator[Finding]:
    """Yield the silent defects of tools."""
    used = {name for agent in definitions.agents for name in agent.record.tools}
    for tool in definitions.tools:
        if definitions.are_known("tools") and not used & {tool.record.name, tool.file.stem}:
            yield tool.finding(("name",), "no agent uses this tool", severity="warning", rule="unused-tool")
        if tool.is_readable:
            yield from _unused_keys(tool)
            yield from _arguments(tool)


def _unused_keys(tool: Definition[Tool]) -> Iterator[Finding]:
    defaults = Tool(name="", description="")
    for key in _UNUSED_KEYS[tool.record.kind]:
        if getattr(tool.record, key) != getattr(defaults, key):
            reason = f"not used by a tool of kind {tool.record.kind}"
            yield tool.finding((key,), reason, severity="warning", rule="unused-key")
    if tool.record.kind == "http" and tool.record.idempotent and not tool.record.writes:
        reason = "not used by a tool that does not write"
        yield tool.finding(("idempotent",), reason, severity="warning", rule="unused-key")


def _arguments(tool: Definition[Tool]) -> Iterator[Finding]:
    """Yield placeholders and required arguments that the schema of an HTTP tool does not declare."""
    schema = tool.record.parameters
    if tool.record.kind != "http" or "parameters" in tool.defective:
        return
    # As a definition that no argument reaches: the schema is judged, but a hostile one is not applied.
    violation = find_violation({"$defs": {"parameters": schema}}, {})
    if violation.startswith(_SCHEMA_DEFECT):
        reason = violation.removeprefix(_SCHEMA_DEFECT)
        yield tool.finding(("parameters",), f"the schema {reason}", severity="warning", rule="invalid-schema")
        return
    declared, required = _names(schema, "properties"), _names(schema, "required")
    in_url = list(dict.fromkeys(path_arguments(tool.record)))
    for name in in_url:
        if name in tool.record.bind:
            continue
        if name not in declared:
            reason = f"the placeholder {{{name}}} is not a parameter, so that the model does not know it"
            yield tool.finding(("url",), reason, severity="warning", rule="undeclared-placeholder")
        elif name not in required:
            reason = f"the placeholder {{{name}}} is not required, so that a call without it fails"
            yield tool.finding(("url",), reason, severity="warning", rule="optional-placeholder")
    for name in required:
        if name not in declared and name not in in_url:
            reason = f"{name!r} is required, but no property declares it and the call does not use it"
            path = ("parameters", "required")
            yield tool.finding(path, reason, severity="warning", rule="undeclared-parameter")


def _names(schema: dict[str, Any], keyword: str) -> list[str]:
    found = schema.get(keyword, [])
    return [str(name) for name in found] if isinstance(found, list | dict) else []

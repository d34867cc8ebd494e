"""Consistency check of a tool: where it may send requests, what it may write, and which arguments are bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from trunkline_protocols.fleet import Tool
from trunkline_protocols.wire import Record

RESERVED_SECRETS: Final = frozenset({"hosts"})
"""Names of secrets whose variable is a setting."""

PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
"""An argument in the path of a URL."""

_URL: Final = re.compile(
    r"https?://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:\d{1,5})?(?P<path>[/?][!-~]*)?", re.ASCII
)
"""Strict on purpose: any two parsers find the same host in a URL of this form, and no argument can change it."""
_FORBIDDEN_IN_URL: Final = frozenset('\\"<>#^`|')
_SECRET: Final = re.compile(r"[a-z0-9-]{1,64}")
_WRITING_METHODS: Final = frozenset({"PUT", "PATCH", "DELETE"})
_PLAIN_KEYWORDS: Final = frozenset(
    {"$schema", "$id", "$defs", "$comment", "definitions", "title", "description", "default", "examples"}
    | {"type", "properties", "required", "additionalProperties", "minProperties", "maxProperties"}
)
"""Keywords of an object schema that do not name an argument outside `properties` and `required`."""


class ToolDefect(Record, frozen=True, kw_only=True):
    """Reason why a tool is invalid, and its key that is at fault."""

    key: str
    reason: str


def find_tool_defect(tool: Tool) -> ToolDefect | None:
    """Return the first inconsistency of a tool, None if it is valid."""
    return next(tool_defects(tool), None)


def tool_defects(tool: Tool) -> Iterator[ToolDefect]:
    """Yield every inconsistency of a tool, at most one of each kind: address, secret, effects, binding."""
    checks: tuple[Callable[[Tool], ToolDefect | None], ...] = (
        _address_defect,
        _secret_defect,
        _writes_defect,
        _binding_defect,
    )
    for check in checks:
        defect = check(tool)
        if defect is not None:
            yield defect


def binding_problem(schema: dict[str, Any], bound: Collection[str]) -> str:
    """Return the reason why arguments of a schema cannot be bound; an empty string if they can."""
    complex_keywords = sorted(schema.keys() - _PLAIN_KEYWORDS)
    if complex_keywords:
        return f"parameters with bound arguments must be a plain object schema, without {', '.join(complex_keywords)}"
    properties = schema.get("properties", {})
    if schema.get("type", "object") != "object" or not isinstance(properties, dict):
        return "parameters with bound arguments must be an object schema"
    missing = [name for name in bound if name not in properties]
    return f"the bound argument {missing[0]!r} is not declared" if missing else ""


def path_arguments(tool: Tool) -> list[str]:
    """Return the arguments that the URL of a tool takes, in order."""
    return PLACEHOLDER.findall(tool.url) if tool.kind == "http" else []


def _address_defect(tool: Tool) -> ToolDefect | None:
    if tool.command and (tool.kind != "mcp" or tool.url):
        return ToolDefect(key="command", reason="a command belongs to a tool of kind mcp without url")
    if tool.command:
        return None
    if not tool.url.startswith(("http://", "https://")):
        return ToolDefect(key="url", reason=f"url must start with http:// or https://, got {tool.url!r}")
    match = _URL.fullmatch(tool.url)
    if match is None or _FORBIDDEN_IN_URL & set(tool.url):
        reason = f"url must be a host with an optional port and path, without user, fragment or spaces: {tool.url!r}"
        return ToolDefect(key="url", reason=reason)
    without_arguments = PLACEHOLDER.sub("", match["path"] or "")
    if "{" in without_arguments or "}" in without_arguments or (tool.kind == "mcp" and PLACEHOLDER.search(tool.url)):
        return ToolDefect(key="url", reason=f"url has an invalid placeholder: {tool.url!r}")
    return None


def _secret_defect(tool: Tool) -> ToolDefect | None:
    if not tool.secret:
        return None
    if _SECRET.fullmatch(tool.secret) is None or tool.secret in RESERVED_SECRETS:
        reason = f"secret must be 1 to 64 of a-z 0-9 - and not reserved, got {tool.secret!r}"
        return ToolDefect(key="secret", reason=reason)
    if tool.command:
        return ToolDefect(key="secret", reason="a secret is sent over HTTP; a command receives none")
    return None


def _writes_defect(tool: Tool) -> ToolDefect | None:
    if tool.kind == "http" and tool.method in _WRITING_METHODS and not tool.writes:
        return ToolDefect(key="method", reason=f"{tool.method} has side effects: set writes = true")
    if tool.bind and tool.unbound:
        return ToolDefect(key="unbound", reason="set bind or unbound, not both")
    if tool.writes and not tool.bind and not tool.unbound:
        reason = "a tool that writes needs [bind], or unbound = true if it may act for any customer"
        return ToolDefect(key="writes", reason=reason)
    return None


def _binding_defect(tool: Tool) -> ToolDefect | None:
    if not tool.bind or tool.kind == "mcp":
        return None
    in_body = [name for name in tool.bind if name not in path_arguments(tool)]
    problem = binding_problem(tool.parameters, in_body)
    return ToolDefect(key="bind", reason=problem) if problem else None

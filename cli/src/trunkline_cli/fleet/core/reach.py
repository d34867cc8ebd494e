"""Reach of a fleet: every address, command and secret that its tools and readers use, as lines for the operator."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from trunkline_protocols.fleet import Fleet, Tool

from trunkline_cli.fleet.core.text import printable

_OPERATORS_ADDRESS: Final = "TRUNKLINE_READER_ADDRESSES:"
"""Stands for the operator's address of a reader whose `url` is a path."""


def reach(fleet: Fleet, *, before: Fleet | None = None) -> list[str]:
    """Return one line per address, command and secret; those that the fleet `before` does not reach are marked `+`."""
    known = set(_entries(before)) if before is not None else set()
    return [f"{' ' if entry in known else '+'} {entry}" for entry in dict.fromkeys(_entries(fleet))]


def _entries(fleet: Fleet) -> Iterator[str]:
    for tool in sorted(fleet.tools, key=lambda tool: tool.name):
        yield from _entries_of(tool, "tool")
    for reader in sorted(fleet.readers, key=lambda reader: reader.name):
        yield from _entries_of(reader.as_tool(_OPERATORS_ADDRESS), "reader")


def _entries_of(tool: Tool, kind: str) -> Iterator[str]:
    name = f"{kind} {printable(tool.name)}"
    scope = printable(_scope(tool))
    if tool.command:
        yield f"command {printable(shlex.join(tool.command))} ({name}, {scope})"
    else:
        method = tool.method if tool.kind == "http" else "MCP"
        yield f"address {method} {printable(tool.url)} ({name}, {scope})"
    if tool.secret:
        yield f"secret {printable(tool.secret)} sent to {printable(tool.url)} ({name})"


def _scope(tool: Tool) -> str:
    if tool.bind:
        bound = ", ".join(f"{argument} = {claim}" for argument, claim in sorted(tool.bind.items()))
        return f"{'writes' if tool.writes else 'reads'}, bound: {bound}"
    return "writes, unbound" if tool.writes else "reads"

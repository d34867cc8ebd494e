"""Lines of keys in a TOML text, for the location of a finding."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys from the top of a document to a value; an integer is an index of an array, from 0."""

_ASSIGNMENT: Final = re.compile(r"\s*([\w.\"'-]+)\s*=")


def line_of(text: str, path: KeyPath) -> int:
    """Return the line, from 1, that sets a key or its closest parent, else 0."""
    depth, found = 0, 0
    for number, candidate in _assignments(text):
        if len(candidate) > depth and candidate == path[: len(candidate)]:
            depth, found = len(candidate), number
    return found


def lines_of_items(text: str, path: KeyPath, items: Sequence[str]) -> list[int]:
    """Return the line of each text of an array; the line of its key for one that is written with escapes."""
    start = line_of(text, path)
    if not start:
        return [0] * len(items)
    offset = sum(len(line) for line in text.splitlines(keepends=True)[: start - 1])
    lines = []
    for item in items:
        at = text.find(item, offset)
        lines.append(text.count("\n", 0, at) + 1 if at >= 0 else start)
        offset = at + len(item) if at >= 0 else offset
    return lines


def dotted(path: KeyPath) -> str:
    """Return a path as text: `escalation.rules[1].urgency`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


@functools.lru_cache(maxsize=8)
def _assignments(text: str) -> tuple[tuple[int, KeyPath], ...]:
    """Return the line and the path of each table header and assignment."""
    return tuple(_read_assignments(text))


def _read_assignments(text: str) -> Iterator[tuple[int, KeyPath]]:
    table: KeyPath = ()
    tables: dict[KeyPath, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            is_array = stripped.startswith("[[")
            table = _names(stripped.strip("[").partition("]")[0])
            if is_array:
                tables[table] = tables.get(table, -1) + 1
                table = (*table, tables[table])
            yield number, table
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment is not None:
            yield number, (*table, *_names(assignment[1]))


def _names(key: str) -> KeyPath:
    return tuple(name.strip().strip("\"'") for name in key.split("."))

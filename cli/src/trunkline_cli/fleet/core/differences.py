"""Differences between two fleets, as lines for the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from trunkline_protocols.fleet import Agent, Fleet, Tool

from trunkline_cli.fleet.core.text import shortened

_MAX_VALUE_CHARACTERS: Final = 80


def differences(old: Fleet, new: Fleet) -> Iterator[str]:
    """Yield one line per difference: `+` added agent or tool, `-` removed one, `~` changed field."""
    yield from _changed_fields("company", old.company, new.company)
    yield from _changed_fields("escalation", old.escalation, new.escalation)
    before, after = {agent.name: agent for agent in old.agents}, {agent.name: agent for agent in new.agents}
    for name in sorted(before.keys() | after.keys()):
        match before.get(name), after.get(name):
            case None, Agent(specialty=specialty):
                yield f"+ agent {name} ({specialty})"
            case Agent(specialty=specialty), None:
                yield f"- agent {name} ({specialty})"
            case Agent() as old_agent, Agent() as new_agent:
                yield from _changed_fields(f"agent {name}", old_agent, new_agent)
            case _:
                pass
    yield from _changed_tools(old.tools, new.tools)


def _changed_tools(old: list[Tool], new: list[Tool]) -> Iterator[str]:
    before, after = {tool.name: tool for tool in old}, {tool.name: tool for tool in new}
    for name in sorted(before.keys() | after.keys()):
        match before.get(name), after.get(name):
            case None, Tool(kind=kind):
                yield f"+ tool {name} ({kind})"
            case Tool(kind=kind), None:
                yield f"- tool {name} ({kind})"
            case Tool() as old_tool, Tool() as new_tool:
                yield from _changed_values(f"tool {name}", old_tool, new_tool)
            case _:
                pass


def _changed_values(owner: str, old: msgspec.Struct, new: msgspec.Struct) -> Iterator[str]:
    """Yield changed fields with both values in full: a part of a command or of an address decides what it does."""
    for field in old.__struct_fields__:
        old_value, new_value = getattr(old, field), getattr(new, field)
        if old_value != new_value:
            yield f"~ {owner}: {field}: {old_value!r} -> {new_value!r}"


def _changed_fields(owner: str, old: msgspec.Struct, new: msgspec.Struct) -> Iterator[str]:
    for field in old.__struct_fields__:
        old_value, new_value = getattr(old, field), getattr(new, field)
        if old_value == new_value:
            continue
        if isinstance(old_value, list) and isinstance(new_value, list):
            removed = [item for item in old_value if item not in new_value]
            added = [item for item in new_value if item not in old_value]
            yield f"~ {owner}: {field}: {len(added)} added, {len(removed)} removed{_first(added)}"
        else:
            yield f"~ {owner}: {field}: {_short(old_value)} -> {_short(new_value)}"


def _first(items: list[object]) -> str:
    return f" (first: {_short(items[0])})" if items else ""


def _short(value: object) -> str:
    return shortened(value, _MAX_VALUE_CHARACTERS)

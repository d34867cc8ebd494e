"""Differences between two fleets, field by field, as lines for the operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile, zip_longest
from typing import Any, Final, TypeVar

import msgspec
from trunkline_protocols.fleet import Agent, EscalationPolicy, EscalationRule, Fleet, Reader, Tool

from trunkline_cli.fleet.core.text import shortened

_MAX_VALUE_CHARACTERS: Final = 80
_MAX_ITEMS: Final = 3
_CONTEXT_CHARACTERS: Final = 20
"""Characters shown before the first difference of two long texts."""

T = TypeVar("T", Agent, Tool, Reader, EscalationRule)


def differences(old: Fleet, new: Fleet) -> Iterator[str]:
    """Yield one line per difference: `+` added agent, tool, reader or rule, `-` removed one, `~` changed field.

    There is no line if and only if the fleets are equal but for the order of agents, tools and readers, which has no
    effect.
    """
    yield from _changed_fields("company", old.company, new.company)
    yield from _changed_escalation(old.escalation, new.escalation)
    for name, old_agent, new_agent in _pairs(old.agents, new.agents):
        yield from _changed_record(f"agent {name}", old_agent, new_agent)
    for name, old_tool, new_tool in _pairs(old.tools, new.tools):
        if old_tool is not None and new_tool is not None:
            yield from _changed_values(f"tool {name}", old_tool, new_tool)
        else:
            yield from _changed_record(f"tool {name}", old_tool, new_tool)
    yield from _changed_fields("customers", old.customers, new.customers)
    for name, old_reader, new_reader in _pairs(old.readers, new.readers):
        if old_reader is not None and new_reader is not None:
            yield from _changed_values(f"reader {name}", old_reader, new_reader)
        else:
            yield from _changed_record(f"reader {name}", old_reader, new_reader)


def _changed_escalation(old: EscalationPolicy, new: EscalationPolicy) -> Iterator[str]:
    yield from _changed_fields(
        "escalation", msgspec.structs.replace(old, rules=[]), msgspec.structs.replace(new, rules=[])
    )
    rules = list(_pairs(old.rules, new.rules))
    for name, old_rule, new_rule in rules:
        yield from _changed_record(f"escalation rule {name}", old_rule, new_rule)
    before, after = [rule.name for rule in old.rules], [rule.name for rule in new.rules]
    if before != after and sorted(before) == sorted(after):
        yield f"~ escalation: rules: order changed to {', '.join(after)}"


def _pairs(old: Sequence[T], new: Sequence[T]) -> Iterator[tuple[str, T | None, T | None]]:
    """Yield each name with the record before and after, sorted by name; records of one name in their order."""
    for name in sorted({record.name for record in [*old, *new]}):
        before = [record for record in old if record.name == name]
        after = [record for record in new if record.name == name]
        for old_record, new_record in zip_longest(before, after):
            yield name, old_record, new_record


def _changed_record(owner: str, old: T | None, new: T | None) -> Iterator[str]:
    if old is not None and new is not None:
        yield from _changed_fields(owner, old, new)
    elif new is not None:
        yield f"+ {owner} ({_kind(new)})"
    elif old is not None:
        yield f"- {owner} ({_kind(old)})"


def _kind(record: Agent | Tool | Reader | EscalationRule) -> str:
    match record:
        case Agent():
            return record.specialty
        case Tool() | Reader():
            return record.kind
        case EscalationRule():
            return f"{record.urgency}, to {record.to}"


def _changed_values(owner: str, old: msgspec.Struct, new: msgspec.Struct) -> Iterator[str]:
    """Yield changed fields with both values in full: a part of a command or of an address decides what it does."""
    for field in old.__struct_fields__:
        old_value, new_value = getattr(old, field), getattr(new, field)
        if old_value != new_value:
            yield f"~ {owner}: {field}: {old_value!r} -> {new_value!r}"


def _changed_fields(owner: str, old: msgspec.Struct, new: msgspec.Struct, path: str = "") -> Iterator[str]:
    """Yield changed fields, those of nested records and tables by their dotted path."""
    for field in old.__struct_fields__:
        old_value, new_value = getattr(old, field), getattr(new, field)
        name = f"{path}{field}"
        if old_value == new_value:
            continue
        if isinstance(old_value, msgspec.Struct) and isinstance(new_value, msgspec.Struct):
            yield from _changed_fields(owner, old_value, new_value, f"{name}.")
        elif isinstance(old_value, dict) and isinstance(new_value, dict):
            yield from _changed_entries(f"{owner}: {name}", old_value, new_value)
        elif isinstance(old_value, list) and isinstance(new_value, list):
            yield f"~ {owner}: {name}: {_changed_items(old_value, new_value)}"
        else:
            yield f"~ {owner}: {name}: {_change(old_value, new_value)}"


def _changed_entries(owner: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        if key not in old:
            yield f"~ {owner}.{key}: added {_short(new[key])}"
        elif key not in new:
            yield f"~ {owner}.{key}: removed {_short(old[key])}"
        elif old[key] != new[key]:
            yield f"~ {owner}.{key}: {_change(old[key], new[key])}"


def _changed_items(old: list[Any], new: list[Any]) -> str:
    """Return the added and removed items of a list, at most three of each."""
    added, removed = _without(new, old), _without(old, new)
    parts = [
        f"{len(items)} {verb} ({_listed(items)})" for items, verb in ((added, "added"), (removed, "removed")) if items
    ]
    return ", ".join(parts) or "order changed"


def _without(items: list[Any], others: list[Any]) -> list[Any]:
    """Return the items that the other list lacks; an item that occurs more often here counts."""
    rest = list(others)
    left = []
    for item in items:
        if item in rest:
            rest.remove(item)
        else:
            left.append(item)
    return left


def _listed(items: list[Any]) -> str:
    shown = ", ".join(_short(item) for item in items[:_MAX_ITEMS])
    return f"{shown}, …" if len(items) > _MAX_ITEMS else shown


def _change(old: object, new: object) -> str:
    """Return both values; of long texts that begin equally, the parts from shortly before the first difference."""
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > _MAX_VALUE_CHARACTERS:
        equal = takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))
        start = sum(1 for _ in equal) - _CONTEXT_CHARACTERS
        if start > 0:
            old, new = f"…{old[start:]}", f"…{new[start:]}"
    return f"{_short(old)} -> {_short(new)}"


def _short(value: object) -> str:
    return shortened(repr(value), _MAX_VALUE_CHARACTERS)

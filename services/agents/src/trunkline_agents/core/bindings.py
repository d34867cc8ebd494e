"""Bound arguments: hidden from the model, and filled from claims and facts about the turn's customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trunkline_protocols.context import Context
from trunkline_protocols.fleet import BoundSource, Tool
from trunkline_protocols.rules.facts import value_of

from trunkline_agents.core.tools import ArgumentsError


def schema_for_model(schema: dict[str, Any], bound: Mapping[str, BoundSource]) -> dict[str, Any]:
    """Return a tool's schema without its bound arguments; other arguments than the declared ones are then refused."""
    if not bound:
        return schema
    properties = {name: value for name, value in schema.get("properties", {}).items() if name not in bound}
    required = [name for name in schema.get("required", []) if name not in bound]
    return schema | {"properties": properties, "required": required, "additionalProperties": False}


def schema_for_check(schema: dict[str, Any], bound: Mapping[str, BoundSource]) -> dict[str, Any]:
    """Return the schema of the complete arguments, bound ones included."""
    if not bound:
        return schema
    properties: dict[str, Any] = {name: {} for name in bound}
    properties |= schema.get("properties", {})
    return schema | {"properties": properties, "additionalProperties": False}


def without_bound(arguments: dict[str, Any], tool: Tool) -> tuple[dict[str, Any], int]:
    """Return a model's arguments without values for bound names, and the number of dropped values."""
    kept = {name: value for name, value in arguments.items() if name not in tool.bind}
    return kept, len(arguments) - len(kept)


def bound_values(tool: Tool, context: Context) -> dict[str, str | int | float | bool]:
    """Return the values of a tool's bound arguments; raise `ArgumentsError` if one of them is not known."""
    known = known_values(tool, context)
    for name in tool.bind.keys() - known.keys():
        raise ArgumentsError(f"the tool needs {tool.bind[name]}, which this customer does not have")
    return known


def known_values(tool: Tool, context: Context) -> dict[str, str | int | float | bool]:
    """Return the values of those bound arguments that are known."""
    values = {name: _value(source, context) for name, source in tool.bind.items()}
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _value(source: BoundSource, context: Context) -> str | int | float | bool | None:
    match source:
        case "customer.sub":
            return context.customer
        case "customer.tenant":
            return context.tenant
        case "customer.region":
            return context.region
        case "customer.tier":
            return context.tier
        case _:
            value = value_of(source, context)
            return None if isinstance(value, dict) else value

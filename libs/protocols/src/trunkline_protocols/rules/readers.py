"""Consistency check of readers of facts, and of everything in a fleet that uses facts and claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trunkline_protocols.fleet import Agent, AuthoredReply, Fleet, Reader
from trunkline_protocols.rules.facts import placeholders
from trunkline_protocols.rules.tools import PLACEHOLDER, ToolDefect, find_tool_defect, path_arguments

_ANY_ADDRESS = "http://127.0.0.1"
"""Stands in for the operator's address, which is checked when it is set."""


def reader_defects(reader: Reader) -> Iterator[ToolDefect]:
    """Yield every inconsistency of a reader."""
    tool = reader.as_tool(_ANY_ADDRESS)
    defect = find_tool_defect(tool)
    if defect is not None:
        yield defect
        return
    if reader.rests_without_address and reader.kind != "http":
        yield ToolDefect(key="url", reason="an address of the operator is for a reader of kind http")
    if (reader.kind == "mcp") != bool(reader.tool):
        yield ToolDefect(key="tool", reason="a reader of kind mcp names its tool, and no other one does")
    if "customer.sub" not in reader.bind.values():
        yield ToolDefect(key="bind", reason="a reader must send customer.sub: it reads about one customer")
    unbound = [name for name in path_arguments(tool) if name not in reader.bind]
    if unbound:
        yield ToolDefect(key="url", reason=f"the placeholder {{{unbound[0]}}} is not bound")
    for name, field in reader.fields.items():
        if (field.type == "table") != bool(field.key and field.text):
            reason = f"the fact {name!r}: a table has key and text, and no other fact does"
            yield ToolDefect(key="fields", reason=reason)
        elif field.type == "table" and not PLACEHOLDER.search(field.text):
            yield ToolDefect(key="fields", reason=f"the fact {name!r}: text has no placeholder")


def unknown_names(fleet: Fleet, names: Iterable[str]) -> Iterator[str]:
    """Yield the names `facts.x` and `claims.x` that no reader and no allowed claim has."""
    for name in names:
        kind, _, key = name.partition(".")
        if (kind == "facts" and key not in fleet.fact_names) or (
            kind == "claims" and key not in fleet.customers.claims
        ):
            yield name


def unknown_reason(name: str) -> str:
    """Return the reason why an unknown name, in braces for a placeholder, is wrong."""
    return f"{name} is neither a fact of a reader nor an allowed claim"


def tables(fleet: Fleet) -> set[str]:
    """Return the names of the facts that are tables."""
    return {name for reader in fleet.readers for name, field in reader.fields.items() if field.type == "table"}


def bind_problem(fleet: Fleet, source: str) -> str:
    """Return the reason why an argument cannot be bound to a source; an empty string if it can."""
    for name in unknown_names(fleet, [source]):
        return unknown_reason(name)
    if source.removeprefix("facts.") in tables(fleet):
        return f"{source} is a table, which is no value of an argument"
    return ""


def agent_problems(fleet: Fleet, agent: Agent) -> Iterator[tuple[str, str]]:
    """Yield the key and the reason of everything about facts that an agent gets wrong."""
    for reply in agent.replies:
        for reason in _reply_problems(fleet, reply):
            yield "replies", f"reply {reply.name!r}: {reason}"


def _reply_problems(fleet: Fleet, reply: AuthoredReply) -> Iterator[str]:
    if len({bool(reply.number), bool(reply.table), bool(reply.unknown)}) > 1:
        yield "number, table and unknown belong together"
    elif reply.number and "#" not in reply.number:
        yield "number has no #, which stands for a digit"
    if reply.table and reply.table not in tables(fleet):
        yield f"table names {reply.table!r}, which is no table of a reader"
    for text in (reply.text, reply.unknown):
        for name in unknown_names(fleet, placeholders(text)):
            yield unknown_reason(f"{{{name}}}")

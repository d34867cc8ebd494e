"""Consistency check of a fleet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from trunkline_protocols.fleet import BUILT_IN_TOOLS, TRIAGE, Fleet, Tool
from trunkline_protocols.rules.desk_hours import find_hours_defect
from trunkline_protocols.rules.readers import (
    agent_problems,
    bind_problem,
    reader_defects,
    unknown_names,
    unknown_reason,
)
from trunkline_protocols.rules.tools import tool_defects
from trunkline_protocols.wire import Record


class FleetDefect(Record, frozen=True, kw_only=True):
    """Reason why a fleet is invalid; `agent`, `tool` or `reader` names the one at fault, if there is a single one.

    `unknown` is the specialty or tool that it refers to and that does not exist.
    """

    agent: str
    key: str
    reason: str
    tool: str = ""
    unknown: str = ""
    reader: str = ""
    item: str = ""
    """Name of the escalation rule, or the topic, that is at fault."""

    @property
    def subject(self) -> str:
        """The agent, tool or reader at fault, else `fleet`."""
        if self.reader:
            return f"reader {self.reader}"
        return self.agent or (f"tool {self.tool}" if self.tool else "fleet")


def find_defect(fleet: Fleet) -> FleetDefect | None:
    """Return the first inconsistency of a fleet, None if it is valid."""
    return next(fleet_defects(fleet), None)


def fleet_defects(fleet: Fleet) -> Iterator[FleetDefect]:
    """Yield every inconsistency of a fleet."""
    if TRIAGE not in fleet.specialties:
        reason = f"no agent has the specialty {TRIAGE!r}, which answers every new conversation"
        yield FleetDefect(agent="", key="specialty", reason=reason)
    reason = find_hours_defect(fleet.escalation.hours)
    if reason:
        yield FleetDefect(agent="", key="hours", reason=reason)
    yield from _defects_of_tools(fleet)
    yield from _defects_of_readers(fleet)
    yield from _defects_of_rules(fleet)
    yield from _defects_of_agents(fleet)


def disallowed_commands(fleet: Fleet, allowed: Collection[Sequence[str]]) -> list[Tool]:
    """Return the tools and readers whose command is not one of the operator's, with equal executable and arguments."""
    permitted = {tuple(command) for command in allowed}
    callers = [*fleet.tools, *(reader.as_tool() for reader in fleet.readers)]
    return [tool for tool in callers if tool.command and tuple(tool.command) not in permitted]


def _defects_of_readers(fleet: Fleet) -> Iterator[FleetDefect]:
    seen: set[str] = set()
    facts: set[str] = set()
    for reader in fleet.readers:
        if reader.name in seen:
            reason = f"reader {reader.name!r} is defined twice"
            yield FleetDefect(agent="", reader=reader.name, key="name", reason=reason)
        seen.add(reader.name)
        for name in sorted(facts & reader.fields.keys()):
            reason = f"the fact {name!r} is defined twice"
            yield FleetDefect(agent="", reader=reader.name, key="fields", reason=reason)
        facts |= reader.fields.keys()
        for defect in reader_defects(reader):
            yield FleetDefect(agent="", reader=reader.name, key=defect.key, reason=defect.reason)


def _defects_of_rules(fleet: Fleet) -> Iterator[FleetDefect]:
    for rule in fleet.escalation.rules:
        for name in unknown_names(fleet, rule.when):
            reason = f"rule {rule.name!r}: {unknown_reason(name)}"
            yield FleetDefect(agent="", key="when", reason=reason, item=rule.name)
    named = {topic for agent in fleet.agents for topic in agent.knowledge.topics}
    for topic, conditions in fleet.customers.topics.items():
        if topic not in named:
            yield FleetDefect(agent="", key="topics", reason=f"no agent has the topic {topic!r}", item=topic)
        for name in unknown_names(fleet, conditions):
            reason = f"topic {topic!r}: {unknown_reason(name)}"
            yield FleetDefect(agent="", key="topics", reason=reason, item=topic)


def _defects_of_tools(fleet: Fleet) -> Iterator[FleetDefect]:
    seen: set[str] = set()
    for tool in fleet.tools:
        if tool.name in BUILT_IN_TOOLS:
            reason = f"name {tool.name!r} is reserved for a built-in tool"
            yield FleetDefect(agent="", tool=tool.name, key="name", reason=reason)
        if tool.name in seen:
            yield FleetDefect(agent="", tool=tool.name, key="name", reason=f"tool {tool.name!r} is defined twice")
        seen.add(tool.name)
        for defect in tool_defects(tool):
            yield FleetDefect(agent="", tool=tool.name, key=defect.key, reason=defect.reason)
        for source in tool.bind.values():
            reason = bind_problem(fleet, source)
            if reason:
                yield FleetDefect(agent="", tool=tool.name, key="bind", reason=reason)


def _defects_of_agents(fleet: Fleet) -> Iterator[FleetDefect]:
    specialties = set(fleet.specialties)
    tools = {*BUILT_IN_TOOLS, *(tool.name for tool in fleet.tools)}
    seen: set[str] = set()
    for agent in fleet.agents:
        if agent.name in seen:
            yield FleetDefect(agent=agent.name, key="name", reason=f"agent {agent.name!r} is defined twice")
        seen.add(agent.name)
        for key, targets in (("hand_off_to", agent.hand_off_to), ("consult", agent.consult)):
            for target in targets:
                if target not in specialties:
                    reason = f"{key} names the unknown specialty {target!r}"
                    yield FleetDefect(agent=agent.name, key=key, reason=reason, unknown=target)
        for name in agent.tools:
            if name not in tools:
                reason = f"tools names the unknown tool {name!r}"
                yield FleetDefect(agent=agent.name, key="tools", reason=reason, unknown=name)
        if agent.specialty in agent.consult:
            yield FleetDefect(agent=agent.name, key="consult", reason="an agent cannot consult its own specialty")
        for key, reason in agent_problems(fleet, agent):
            yield FleetDefect(agent=agent.name, key=key, reason=reason)

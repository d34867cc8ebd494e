"""Consistency check of a fleet."""

from __future__ import annotations

from trunkline_protocols.fleet import BUILT_IN_TOOLS, TRIAGE, Fleet
from trunkline_protocols.wire import Record


class FleetDefect(Record, frozen=True, kw_only=True):
    """Reason why a fleet is invalid; `agent` is empty if no single agent is at fault."""

    agent: str
    key: str
    reason: str


def find_defect(fleet: Fleet) -> FleetDefect | None:
    """Return the first inconsistency of a fleet, None if it is valid."""
    specialties = set(fleet.specialties)
    if TRIAGE not in specialties:
        reason = f"no agent has the specialty {TRIAGE!r}, which answers every new conversation"
        return FleetDefect(agent="", key="specialty", reason=reason)
    seen: set[str] = set()
    for agent in fleet.agents:
        if agent.name in seen:
            return FleetDefect(agent=agent.name, key="name", reason=f"agent {agent.name!r} is defined twice")
        seen.add(agent.name)
        for key, targets in (("hand_off_to", agent.hand_off_to), ("consult", agent.consult)):
            for target in targets:
                if target not in specialties:
                    reason = f"{key} names the unknown specialty {target!r}"
                    return FleetDefect(agent=agent.name, key=key, reason=reason)
        for name in agent.tools:
            if name not in BUILT_IN_TOOLS and all(tool.name != name for tool in fleet.tools):
                return FleetDefect(agent=agent.name, key="tools", reason=f"tools names the unknown tool {name!r}")
        if agent.specialty in agent.consult:
            return FleetDefect(agent=agent.name, key="consult", reason="an agent cannot consult its own specialty")
    return None

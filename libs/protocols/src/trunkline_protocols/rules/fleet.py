"""Consistency of a fleet."""

from __future__ import annotations

from trunkline_protocols.fleet import BUILT_IN_TOOLS, TRIAGE, Fleet
from trunkline_protocols.wire import Record


class Fault(Record, frozen=True, kw_only=True):
    """Why a fleet is not usable; `agent` is empty where no single agent is at fault."""

    agent: str
    key: str
    reason: str


def fault_of(fleet: Fleet) -> Fault | None:
    """Return the first thing in a fleet that does not fit together, None for a usable one."""
    specialties = set(fleet.specialties)
    if TRIAGE not in specialties:
        reason = f"no agent has the specialty {TRIAGE!r}; it meets every new conversation"
        return Fault(agent="", key="specialty", reason=reason)
    seen: set[str] = set()
    for agent in fleet.agents:
        if agent.name in seen:
            return Fault(agent=agent.name, key="name", reason=f"another agent is named {agent.name!r} already")
        seen.add(agent.name)
        for key, targets in (("hand_off_to", agent.hand_off_to), ("consult", agent.consult)):
            for target in targets:
                if target not in specialties:
                    reason = f"{key} names {target!r}, and no agent has that specialty"
                    return Fault(agent=agent.name, key=key, reason=reason)
        for name in agent.tools:
            if name not in BUILT_IN_TOOLS and all(tool.name != name for tool in fleet.tools):
                return Fault(agent=agent.name, key="tools", reason=f"tools names {name!r}, and there is no such tool")
        if agent.specialty in agent.consult:
            return Fault(agent=agent.name, key="consult", reason="an agent cannot consult its own specialty")
    return None

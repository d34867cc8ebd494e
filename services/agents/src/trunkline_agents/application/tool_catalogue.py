"""Tool catalogue: the tools that an agent may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
from trunkline_chassis.logs import reason_of
from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.fleet import Agent, Fleet, Tool
from trunkline_protocols.rules.tools import binding_problem, find_tool_defect, path_arguments

from trunkline_agents.core.bindings import schema_for_check, schema_for_model
from trunkline_agents.core.tools import built_in_specs, external_tools
from trunkline_agents.ports import ToolClient, ToolError

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ExternalTool:
    """A tool of the fleet, and the full schema of its arguments, bound ones included."""

    tool: Tool
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """Specifications by the name that the model uses, and the fleet's tool behind each external one."""

    specs: dict[str, ToolSpec]
    external: dict[str, ExternalTool]

    @property
    def may_write(self) -> bool:
        """True if any of the tools has side effects."""
        return any(external.tool.writes for external in self.external.values())


class ToolCatalogue:
    """Collects tools from the built-in ones and from the clients of external ones."""

    def __init__(self, clients: Mapping[str, ToolClient]) -> None:
        """`clients` are keyed by the kind of tool."""
        self._clients = clients

    async def tools_for(self, fleet: Fleet, agent: Agent) -> OfferedTools:
        """Return the tools that an agent may use; one that is invalid or whose specifications are not read is omitted.

        A version of the fleet may be older than a rule, so the rules of a published fleet are enforced here too.
        """
        offered = OfferedTools({spec.name: spec for spec in built_in_specs(agent)}, {})
        for tool in external_tools(fleet, agent):
            try:
                for spec in await self._specs(tool):
                    _add(offered, tool, spec)
            except ToolError as error:
                _log.warning("tool.unavailable", tool=tool.name, reason=reason_of(error))
        return offered

    async def _specs(self, tool: Tool) -> list[ToolSpec]:
        defect = find_tool_defect(tool)
        if defect is not None:
            raise ToolError(f"{defect.key}: {defect.reason}")
        return await self._clients[tool.kind].specs(tool)


def _add(offered: OfferedTools, tool: Tool, spec: ToolSpec) -> None:
    """Offer a tool under its own name, without its bound arguments; a name that is taken stays with its first tool."""
    if spec.name in offered.specs:
        _log.warning("tool.unavailable", tool=tool.name, reason="its name is taken by another tool")
        return
    in_body = [name for name in tool.bind if name not in path_arguments(tool)]
    problem = binding_problem(spec.parameters, in_body) if tool.bind else ""
    if problem:
        _log.warning("tool.unavailable", tool=tool.name, reason=problem)
        return
    parameters = schema_for_model(spec.parameters, tool.bind)
    offered.specs[spec.name] = msgspec.structs.replace(spec, parameters=parameters)
    offered.external[spec.name] = ExternalTool(tool, schema_for_check(spec.parameters, tool.bind))

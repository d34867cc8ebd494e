"""Tool catalogue: the tools that an agent may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.fleet import Agent, Fleet, Tool

from trunkline_agents.core.tools import built_in_specs, external_tools
from trunkline_agents.ports import ToolClient, ToolError

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """Specifications by the name that the model uses, and the fleet's tool behind each external one."""

    specs: dict[str, ToolSpec]
    external: dict[str, Tool]

    @property
    def may_write(self) -> bool:
        """True if any of the tools has side effects."""
        return any(tool.writes for tool in self.external.values())


class ToolCatalogue:
    """Collects tools from the built-in ones and from the clients of external ones."""

    def __init__(self, clients: Mapping[str, ToolClient]) -> None:
        """`clients` are keyed by the kind of tool."""
        self._clients = clients

    async def tools_for(self, fleet: Fleet, agent: Agent) -> OfferedTools:
        """Return the tools that an agent may use; a tool whose specifications cannot be read is omitted."""
        specs = {spec.name: spec for spec in built_in_specs(agent)}
        external: dict[str, Tool] = {}
        for tool in external_tools(fleet, agent):
            try:
                found = await self._clients[tool.kind].specs(tool)
            except ToolError as error:
                _log.warning("tool.unavailable", tool=tool.name, reason=str(error))
                continue
            for spec in found:
                specs[spec.name] = spec
                external[spec.name] = tool
        return OfferedTools(specs, external)

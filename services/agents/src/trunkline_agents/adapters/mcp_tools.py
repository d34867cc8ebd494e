"""Tools of MCP servers, through the official package: over HTTP, or a process that is started for the call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.fleet import Tool

from trunkline_agents.core.tools import shortened
from trunkline_agents.ports import ToolFailure, UnknownOutcome

if TYPE_CHECKING:
    from mcp import Client

_SEPARATOR: Final = "__"


class McpTools:
    """Asks servers for their tools once, and calls them with a connection for each call."""

    def __init__(self) -> None:
        """Nothing is open."""
        self._specs: dict[str, list[ToolSpec]] = {}

    async def specs(self, tool: Tool) -> list[ToolSpec]:
        """Return the server's tools that may be used, under `<server>__<tool>`."""
        if tool.name not in self._specs:
            try:
                async with asyncio.timeout(tool.timeout_s), _client(tool) as client:
                    listed = (await client.list_tools()).tools
            except Exception as error:
                raise ToolFailure(f"{tool.name} does not tell its tools: {_reason(error)}") from error
            self._specs[tool.name] = [
                ToolSpec(
                    name=f"{tool.name}{_SEPARATOR}{one.name}"[:64],
                    description=one.description or tool.description,
                    parameters=one.input_schema,
                )
                for one in listed
                if not tool.allow or one.name in tool.allow
            ]
        return self._specs[tool.name]

    async def call(self, tool: Tool, name: str, arguments: dict[str, Any], key: str) -> str:
        """Make the call. The protocol knows no idempotency key, so a write whose end is unknown is not repeated."""
        del key
        try:
            async with asyncio.timeout(tool.timeout_s), _client(tool) as client:
                result = await client.call_tool(name.removeprefix(f"{tool.name}{_SEPARATOR}"), arguments)
        except Exception as error:
            raise UnknownOutcome(f"{tool.name} did not answer: {_reason(error)}") from error
        said = "\n".join(getattr(part, "text", "") for part in getattr(result, "content", []))
        if getattr(result, "is_error", False):
            raise ToolFailure(shortened(said or f"{tool.name} failed"))
        return shortened(said)

    async def close(self) -> None:
        """Nothing is open."""


def _client(tool: Tool) -> Client:
    # Imported where a fleet has such a server: it is half a second and 20 MiB that the others need not pay.
    from mcp import Client, StdioServerParameters  # noqa: PLC0415

    if tool.command:
        return Client(StdioServerParameters(command=tool.command[0], args=tool.command[1:]))
    return Client(tool.url)


def _reason(error: BaseException) -> str:
    """Find what went wrong in the groups that the package raises."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]

"""MCP tools through the official package: servers over HTTP, or one subprocess per call over stdin and stdout."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.fleet import Tool

from trunkline_agents.core.tools import truncate
from trunkline_agents.ports import ToolError, ToolOutcomeUnknownError

if TYPE_CHECKING:
    from mcp import Client

_SEPARATOR: Final = "__"
_MAX_NAME_CHARACTERS: Final = 64


class McpToolClient:
    """Lists the tools of each server once; opens a connection per call."""

    def __init__(self) -> None:
        """Start without connections."""
        self._specs: dict[str, list[ToolSpec]] = {}

    async def specs(self, tool: Tool) -> list[ToolSpec]:
        """Return the server's allowed tools, named `<server>__<tool>`."""
        if tool.name not in self._specs:
            try:
                async with asyncio.timeout(tool.timeout_s), _client(tool) as client:
                    listed = (await client.list_tools()).tools
            except Exception as error:  # the package raises groups of its transports' errors; all mean: unavailable
                raise ToolError(f"{tool.name} cannot list its tools: {_reason(error)}") from error
            self._specs[tool.name] = [
                ToolSpec(
                    name=f"{tool.name}{_SEPARATOR}{one.name}"[:_MAX_NAME_CHARACTERS],
                    description=one.description or tool.description,
                    parameters=one.input_schema,
                )
                for one in listed
                if not tool.allow or one.name in tool.allow
            ]
        return self._specs[tool.name]

    async def call(self, tool: Tool, name: str, arguments: dict[str, Any], key: str) -> str:
        """Call a tool once: the protocol has no idempotency key, so an unknown outcome is not retried."""
        del key
        try:
            async with asyncio.timeout(tool.timeout_s), _client(tool) as client:
                result = await client.call_tool(name.removeprefix(f"{tool.name}{_SEPARATOR}"), arguments)
        except Exception as error:  # as above; the request may have reached the server
            raise ToolOutcomeUnknownError(f"{tool.name} did not answer: {_reason(error)}") from error
        text = "\n".join(getattr(part, "text", "") for part in getattr(result, "content", []))
        if getattr(result, "is_error", False):
            raise ToolError(truncate(text or f"{tool.name} failed"))
        return truncate(text)


def _client(tool: Tool) -> Client:
    # Imported on first use: the package costs half a second and 20 MiB, which other fleets need not spend.
    from mcp import Client, StdioServerParameters  # noqa: PLC0415

    if tool.command:
        return Client(StdioServerParameters(command=tool.command[0], args=tool.command[1:]))
    return Client(tool.url)


def _reason(error: BaseException) -> str:
    """Return the first error inside nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]

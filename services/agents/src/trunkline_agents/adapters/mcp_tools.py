"""MCP tools through the official package: servers over HTTP, or one subprocess per call over stdin and stdout."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.decoding import encode
from trunkline_protocols.fleet import Tool

from trunkline_agents.adapters.schema_checker import MAX_SCHEMA_BYTES
from trunkline_agents.adapters.tool_secrets import ToolSecrets
from trunkline_agents.core.tools import truncate
from trunkline_agents.ports import ToolError, ToolOutcomeUnknownError

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

_SEPARATOR: Final = "__"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_TOOLS: Final = 128
_MAX_CACHED_SERVERS: Final = 64


class McpToolClient:
    """Lists the tools of each server once; opens a connection per call, so that no cookie or session is shared."""

    def __init__(self, secrets: ToolSecrets, commands: Collection[Sequence[str]]) -> None:
        """Start the operator's `commands` and no others; send `secrets` to the hosts that they are bound to."""
        self._secrets = secrets
        self._commands = frozenset(tuple(command) for command in commands)
        self._ssl: ssl.SSLContext | None = None
        self._specs: OrderedDict[bytes, list[ToolSpec]] = OrderedDict()

    async def specs(self, tool: Tool) -> list[ToolSpec]:
        """Return the server's allowed tools, named `<server>__<tool>`."""
        key = encode(tool)  # another version of the fleet may declare another server under the same name
        if key not in self._specs:
            try:
                async with asyncio.timeout(tool.timeout_s), self._connect(tool) as client:
                    listed = (await client.list_tools()).tools
            except ToolError:
                raise
            except Exception as error:  # the package raises groups of its transports' errors; all mean: unavailable
                raise _tool_error(error) or ToolError(f"{tool.name} cannot list its tools: {_reason(error)}") from error
            specs = [
                ToolSpec(
                    name=f"{tool.name}{_SEPARATOR}{one.name}",
                    description=one.description or tool.description,
                    parameters=one.input_schema,
                )
                for one in listed[:_MAX_TOOLS]
                if not tool.allow or one.name in tool.allow
            ]
            self._specs[key] = [spec for spec in specs if _is_usable(spec)]
            while len(self._specs) > _MAX_CACHED_SERVERS:
                self._specs.popitem(last=False)
        return self._specs[key]

    async def call(self, tool: Tool, name: str, arguments: dict[str, Any], key: str) -> str:
        """Call a tool once: the protocol has no idempotency key, so an unknown outcome is not retried."""
        del key
        return truncate(await self.fetch(tool, name.removeprefix(f"{tool.name}{_SEPARATOR}"), arguments))

    async def fetch(self, tool: Tool, name: str, arguments: dict[str, Any]) -> str:
        """Call the server's tool `name` once and return its whole answer."""
        try:
            async with asyncio.timeout(tool.timeout_s), self._connect(tool) as client:
                result = await _call(client, name, arguments)
        except ToolError:
            raise
        except Exception as error:  # as above; the request may have reached the server
            raise _tool_error(error) or ToolOutcomeUnknownError(
                self._secrets.mask(tool, f"{tool.name} did not answer: {_reason(error)}")
            ) from error
        text = self._secrets.mask(tool, "\n".join(getattr(part, "text", "") for part in result.content))
        if result.is_error:
            raise ToolError(truncate(text or f"{tool.name} failed"))
        return text

    @asynccontextmanager
    async def _connect(self, tool: Tool) -> AsyncIterator[Client]:
        # Imported on first use: the package costs half a second and 20 MiB, which other fleets need not spend.
        import httpx2  # noqa: PLC0415
        from mcp import Client, StdioServerParameters  # noqa: PLC0415
        from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

        from trunkline_agents.adapters.mcp_transport import BoundedTransport  # noqa: PLC0415

        if tool.command:
            if tuple(tool.command) not in self._commands:
                raise ToolError(f"the command of {tool.name} is not one of TRUNKLINE_MCP_COMMANDS")
            # The package passes PATH, HOME and four more variables on, and none of the suite's.
            async with Client(StdioServerParameters(command=tool.command[0], args=tool.command[1:])) as client:
                yield client
            return
        headers = self._secrets.headers(tool)
        # Without the proxies and credentials that variables and files of the account may name.
        transport = BoundedTransport(verify=self._certificates(), trust_env=False)
        async with (
            httpx2.AsyncClient(headers=headers, timeout=tool.timeout_s, trust_env=False, transport=transport) as http,
            Client(streamable_http_client(tool.url, http_client=http)) as client,
        ):
            yield client

    def _certificates(self) -> ssl.SSLContext:
        """Return the certificates of the machine, as HTTP tools use them."""
        if self._ssl is None:
            self._ssl = ssl.create_default_context()
        return self._ssl


async def _call(client: Client, name: str, arguments: dict[str, Any]) -> CallToolResult:
    """Call a tool without the package's check of the answer, which runs the server's schema on the event loop."""
    import mcp_types  # noqa: PLC0415

    parameters = mcp_types.CallToolRequestParams(name=name, arguments=arguments)
    request = mcp_types.CallToolRequest(params=parameters)
    return await client.session.send_request(request, mcp_types.CallToolResult)


def _is_usable(spec: ToolSpec) -> bool:
    return _NAME.fullmatch(spec.name) is not None and len(encode(spec.parameters)) <= MAX_SCHEMA_BYTES


def _tool_error(error: BaseException) -> ToolError | None:
    """Return the tool error inside nested exception groups, if that is the reason."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, ToolError) else None


def _reason(error: BaseException) -> str:
    """Return the first error inside nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]

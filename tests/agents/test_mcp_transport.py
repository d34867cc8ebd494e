"""MCP over HTTP: a real server is used, and one with endless or compressed answers is ended early."""

from __future__ import annotations

import asyncio
import gzip
import sys
import tracemalloc

import pytest
from aiohttp import web
from trunkline_agents.adapters.mcp_tools import McpToolClient
from trunkline_agents.adapters.tool_secrets import ToolSecrets
from trunkline_agents.ports import ToolError
from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.fleet import Tool
from trunkline_supervisor.adapters.tcp import free_port

from tests.agents.test_tool_bindings import serve

pytestmark = pytest.mark.processes

SERVER = '''
import sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("stock")


@server.tool()
def in_stock(sku: str) -> str:
    """Return the stock of an article."""
    return f"17 of {sku}"


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
'''
MIB = 1024 * 1024


def mcp_tool(url: str) -> Tool:
    """Return a tool of an MCP server."""
    return Tool(name="stock", description="d", kind="mcp", url=f"{url}/mcp", timeout_s=10.0)


async def first_spec(client: McpToolClient, tool: Tool) -> ToolSpec:
    """Wait for the server and return its first tool."""
    while True:
        try:
            return (await client.specs(tool))[0]
        except ToolError:
            await asyncio.sleep(0.2)


async def test_tool_of_a_server_over_http_is_called() -> None:
    """Through the bounded transport."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, str(port))
    client = McpToolClient(ToolSecrets(str, {}), ())
    tool = mcp_tool(f"http://127.0.0.1:{port}")
    try:
        async with asyncio.timeout(60):
            spec = await first_spec(client, tool)
        assert await client.call(tool, spec.name, {"sku": "lamp"}, "key") == "17 of lamp"
    finally:
        server.kill()
        await server.wait()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_answer_without_end_is_not_kept_in_memory(encoding: str) -> None:
    """Neither a long one nor a short one that is long when decompressed."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Encoding": encoding})
        await response.prepare(request)
        chunk = gzip.compress(b" " * 64 * MIB) if encoding == "gzip" else b" " * MIB
        while sent < 256 * MIB:
            await response.write(chunk)
            sent += len(chunk) if encoding == "identity" else 64 * MIB
        return response

    tracemalloc.start()
    try:
        async with serve(endless) as url:
            with pytest.raises(ToolError):
                await McpToolClient(ToolSecrets(str, {}), ()).specs(mcp_tool(url))
        assert tracemalloc.get_traced_memory()[1] < 128 * MIB
    finally:
        tracemalloc.stop()

"""HTTP tools: one request per call, with arguments in path and body; failures are outcomes for the model."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.decoding import encode
from trunkline_protocols.fleet import Tool

from trunkline_agents.adapters.tool_secrets import ToolSecrets
from trunkline_agents.core.tool_paths import call_url
from trunkline_agents.core.tools import ArgumentsError, truncate
from trunkline_agents.ports import NothingFoundError, ToolError, ToolOutcomeUnknownError

_MAX_BYTES: Final = 64 * 1024
_ATTEMPTS: Final = 2


class HttpToolClient:
    """Executes HTTP tools declared in the fleet."""

    def __init__(self, secrets: ToolSecrets) -> None:
        """Send `secrets` to the hosts that they are bound to; they are never passed to a model or logged."""
        self._secrets = secrets
        self._session: aiohttp.ClientSession | None = None

    async def specs(self, tool: Tool) -> list[ToolSpec]:
        """Return the single specification declared in the fleet."""
        parameters = tool.parameters or {"type": "object", "properties": {}}
        return [ToolSpec(name=tool.name, description=tool.description, parameters=parameters)]

    async def call(self, tool: Tool, name: str, arguments: dict[str, Any], key: str) -> str:
        """Send the request; retry once if the outcome is unknown and the tool only reads or is idempotent by `key`."""
        del name  # this kind has one call per tool
        is_safe = not tool.writes or tool.idempotent
        for attempts_left in range(_ATTEMPTS - 1 if is_safe else 0, -1, -1):
            try:
                return truncate(await self._request(tool, dict(arguments), key))
            except ToolOutcomeUnknownError:
                if not attempts_left:
                    raise
        raise AssertionError("unreachable")

    async def fetch(self, tool: Tool, name: str, arguments: dict[str, Any]) -> str:
        """Send the request of a tool that only reads once; return its whole answer, at most 64 KiB."""
        del name
        return await self._request(tool, dict(arguments), "")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _request(self, tool: Tool, arguments: dict[str, Any], key: str) -> str:
        try:
            url, arguments = call_url(tool, arguments)
        except ArgumentsError as error:
            raise ToolError(str(error)) from error
        headers = self._secrets.headers(tool)
        if tool.writes:
            headers["Idempotency-Key"] = key
        options: dict[str, Any] = {"headers": headers, "allow_redirects": False}
        if tool.method == "GET":
            options["params"] = {name: _text(value) for name, value in arguments.items()}
        else:
            headers["Content-Type"] = "application/json"
            options["data"] = encode(arguments)
        try:
            async with asyncio.timeout(tool.timeout_s), self._open().request(tool.method, url, **options) as response:
                body = self._secrets.mask(tool, (await _read(response)).decode(errors="replace").strip())
                status = response.status
        except aiohttp.ClientConnectorError as error:
            raise ToolError(f"{tool.name} cannot be reached") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ToolOutcomeUnknownError(f"{tool.name} did not answer within {tool.timeout_s:g} s") from error
        if status >= 500:  # noqa: PLR2004
            raise ToolOutcomeUnknownError(truncate(f"{tool.name} failed with {status}: {body}"))
        if status == HTTPStatus.NOT_FOUND:
            raise NothingFoundError(truncate(f"{tool.name} refused with {status}: {body}"))
        if status >= 300:  # noqa: PLR2004
            raise ToolError(truncate(f"{tool.name} refused with {status}: {body}"))
        return body

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The session serves all customers: a cookie that a tool sets for one must not be sent for another.
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read a body to its end, at most `_MAX_BYTES` of it."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_MAX_BYTES):
        body += chunk
        if len(body) >= _MAX_BYTES:
            break
    return bytes(body[:_MAX_BYTES])


def _text(value: object) -> str:
    """Return an argument as the value of a query: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else encode(value).decode()

"""HTTP tools: one request per call, with arguments in path and body; failures are outcomes for the model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.fleet import Tool

from trunkline_agents.core.tools import truncate
from trunkline_agents.ports import ToolError, ToolOutcomeUnknownError

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_MAX_BYTES: Final = 64 * 1024
_ATTEMPTS: Final = 2


class HttpToolClient:
    """Executes HTTP tools declared in the fleet."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        """`secret` returns a secret by name; secrets are never passed to a model or logged."""
        self._secret = secret
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
                return await self._request(tool, dict(arguments), key)
            except ToolOutcomeUnknownError:
                if not attempts_left:
                    raise
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _request(self, tool: Tool, arguments: dict[str, Any], key: str) -> str:
        url = _PLACEHOLDER.sub(lambda match: quote(str(arguments.pop(match[1], "")), safe=""), tool.url)
        headers = {"Idempotency-Key": key} if tool.writes else {}
        if tool.secret:
            headers["Authorization"] = f"Bearer {self._secret(tool.secret)}"
        options: dict[str, Any] = {"headers": headers, "allow_redirects": False}
        if tool.method == "GET":
            options["params"] = {name: str(value) for name, value in arguments.items()}
        else:
            headers["Content-Type"] = "application/json"
            options["data"] = msgspec.json.encode(arguments)
        try:
            async with asyncio.timeout(tool.timeout_s), self._open().request(tool.method, url, **options) as response:
                body = (await response.content.read(_MAX_BYTES)).decode(errors="replace").strip()
                status = response.status
        except aiohttp.ClientConnectorError as error:
            raise ToolError(f"{tool.name} cannot be reached") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ToolOutcomeUnknownError(f"{tool.name} did not answer within {tool.timeout_s:g} s") from error
        if status >= 500:  # noqa: PLR2004
            raise ToolOutcomeUnknownError(truncate(f"{tool.name} failed with {status}: {body}"))
        if status >= 300:  # noqa: PLR2004
            raise ToolError(truncate(f"{tool.name} refused with {status}: {body}"))
        return truncate(body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        return self._session

"""Tools over HTTP: one call each, its arguments in the path and the body, its failure an answer."""

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

from trunkline_agents.core.tools import shortened
from trunkline_agents.ports import ToolFailure, UnknownOutcome

_PLACE: Final = re.compile(r"\{(\w+)\}")
_MOST_BYTES: Final = 64 * 1024
_TRIES: Final = 2


class HttpTools:
    """Calls what the fleet declares."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        """`secret` returns a secret by its name; none is ever shown to a model or written to a log."""
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def specs(self, tool: Tool) -> list[ToolSpec]:
        """One."""
        parameters = tool.parameters or {"type": "object", "properties": {}}
        return [ToolSpec(name=tool.name, description=tool.description, parameters=parameters)]

    async def call(self, tool: Tool, name: str, arguments: dict[str, Any], key: str) -> str:
        """Make the call; `key` tells the server that a repetition is one. Repeated once where that is safe."""
        del name  # behind a tool of this kind there is one call
        is_safe = not tool.writes or tool.idempotent
        for tries_left in range(_TRIES - 1 if is_safe else 0, -1, -1):
            try:
                return await self._once(tool, dict(arguments), key)
            except UnknownOutcome:
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _once(self, tool: Tool, arguments: dict[str, Any], key: str) -> str:
        url = _PLACE.sub(lambda place: quote(str(arguments.pop(place[1], "")), safe=""), tool.url)
        headers = {"Idempotency-Key": key} if tool.writes else {}
        if tool.secret:
            headers["Authorization"] = f"Bearer {self._secret(tool.secret)}"
        request: dict[str, Any] = {"headers": headers, "allow_redirects": False}
        if tool.method == "GET":
            request["params"] = {name: str(value) for name, value in arguments.items()}
        else:
            headers["Content-Type"] = "application/json"
            request["data"] = msgspec.json.encode(arguments)
        try:
            async with asyncio.timeout(tool.timeout_s), self._open().request(tool.method, url, **request) as response:
                said = (await response.content.read(_MOST_BYTES)).decode(errors="replace").strip()
                status = response.status
        except aiohttp.ClientConnectorError as error:
            raise ToolFailure(f"{tool.name} cannot be reached") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnknownOutcome(f"{tool.name} did not answer within {tool.timeout_s:g} s") from error
        if status >= 500:  # noqa: PLR2004
            raise UnknownOutcome(shortened(f"{tool.name} failed with {status}: {said}"))
        if status >= 300:  # noqa: PLR2004
            raise ToolFailure(shortened(f"{tool.name} refused with {status}: {said}"))
        return shortened(said)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        return self._session

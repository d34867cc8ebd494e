"""HTTP transport for MCP servers, with a limit on each answer. Imported on first use, as the package is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, cast

import httpx2

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""Room for the largest list of tools that is read; a hostile server could fill the memory of all agents."""


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Ends an answer over `MAX_ANSWER_BYTES` with `httpx2.ReadError`, and refuses a compressed one."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and return its answer, of which not more than the limit can be read."""
        # The limit counts what is received: a few compressed kilobytes can become gigabytes.
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.DecodingError("the answer is compressed", request=request)
        response.stream = _BoundedStream(cast("httpx2.AsyncByteStream", response.stream))
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise httpx2.ReadError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()

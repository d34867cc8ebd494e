"""A model server that sends exactly the bytes of a script, and the parts that such scripts are made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from aiohttp import web

from tests.support.http_server import serve_http

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Reply:
    """One response: its body in parts, and its end."""

    body: tuple[bytes, ...] = ()
    status: int = 200
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    end: Literal["regular", "cut", "open"] = "regular"
    """`cut`: the connection is closed inside the response; `open`: it stays open without further bytes."""
    pauses_after: int = -1
    """Number of parts after which the server waits for its `pause`; -1: never."""


def events(*payloads: Any, done: bool = True) -> tuple[bytes, ...]:
    """Return one event for each payload: bytes as they are, other values as JSON."""
    return (*(event(payload) for payload in payloads), *([DONE] if done else []))


def event(payload: Any) -> bytes:
    """Return an event."""
    return b"data: " + (payload if isinstance(payload, bytes) else msgspec.json.encode(payload)) + b"\n\n"


def choice(**fields: Any) -> dict[str, Any]:
    """Return a chunk with one choice."""
    return {"choices": [{"index": 0, **fields}]}


def text(content: Any, **fields: Any) -> dict[str, Any]:
    """Return a chunk with a piece of text."""
    return choice(delta={"content": content}, **fields)


def finish(reason: Any = "stop", **fields: Any) -> dict[str, Any]:
    """Return a chunk with a finish reason."""
    return choice(delta={}, finish_reason=reason, **fields)


def usage(prompt: Any = 1000, completion: Any = 100) -> dict[str, Any]:
    """Return the chunk that reports usage."""
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def call(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a fragment of a tool call."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"function": function, **fields}


def calls(*fragments: Any, **fields: Any) -> dict[str, Any]:
    """Return a chunk with fragments of tool calls."""
    return choice(delta={"tool_calls": list(fragments)}, **fields)


@dataclass
class RawModelServer:
    """Sends the replies one after another, the last one again and again."""

    replies: list[Reply]
    pause: Callable[[], Awaitable[object]]
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
        if reply.content_type:
            response.headers["Content-Type"] = reply.content_type
        await response.prepare(request)
        for number, part in enumerate(reply.body):
            if number == reply.pauses_after:
                await self.pause()
            await response.write(part)
        assert request.transport is not None
        match reply.end:
            case "cut":
                request.transport.close()
            case "open":
                while not request.transport.is_closing():
                    await asyncio.sleep(0.005)
            case "regular":
                pass
        return response


@asynccontextmanager
async def serve_raw(
    *replies: Reply, pause: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[RawModelServer]:
    """Run a server on a free port, for both dialects."""
    server = RawModelServer(list(replies), pause or asyncio.Event().wait)
    paths = ("/v1/chat/completions", "/v1/messages")
    async with serve_http([web.post(path, server.answer) for path in paths]) as url:
        server.url = f"{url}/v1"
        yield server

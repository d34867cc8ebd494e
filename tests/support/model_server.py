"""A chat completions server with injectable faults."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from aiohttp import web

from tests.support.http_server import serve_http

ProviderFaultKind = Literal[
    "none",
    "too many requests",
    "server error",
    "no key",
    "bad request",
    "hang",
    "stall",
    "cut",
    "end early",
    "malformed",
    "error event",
    "drip",
    "wrong content type",
    "gigantic",
    "no usage",
    "not streamed",
    "empty",
    "no end",
]
PIECES = ("Refunds ", "take ", "5 days ", "[1].")


@dataclass(frozen=True)
class Fault:
    """A fault of one request, injected after a number of pieces of the text."""

    kind: ProviderFaultKind
    after: int = 2
    retry_after: str = "1"


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool; the arguments are text that need not be valid."""

    name: str
    arguments: str

    def delta(self, number: int) -> dict[str, Any]:
        """Return the call as a part of a chunk."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"index": number, "id": f"call-{number}", "function": function}


@dataclass
class ModelServer:
    """Streams the same pieces for every request, or the rest of a prefilled text."""

    pieces: Sequence[str] = PIECES
    faults: deque[Fault] = field(default_factory=deque)
    """Faults of the next requests, one each; later requests succeed."""
    always: Fault | None = None
    """Fault of every request without one in `faults`."""
    cut: Callable[[Sequence[str]], int] | None = None
    """Returns the number of pieces after which a stream is cut; -1 for no cut."""
    tool_calls: Callable[[dict[str, Any]], Sequence[ToolCall]] = lambda _: ()
    """Returns the tool calls to answer a request with; none: the text."""
    first_token_s: float = 0.0
    gate: asyncio.Event | None = None
    """If set, requests are answered once the event is."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)
    """Peer addresses of all connections that carried a request."""
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client closes its connection before the end of the answer."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    cuts: int = 0
    url: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport and request.transport.get_extra_info("peername"))
        self.arrived.set()
        fault = self.faults.popleft() if self.faults else self.always or Fault("none")
        try:
            if self.gate is not None:
                await self.gate.wait()
            return await self._answer(request, body, fault)
        except (ConnectionResetError, asyncio.CancelledError):
            self.disconnected.set()
            raise

    async def _answer(self, request: web.Request, body: dict[str, Any], fault: Fault) -> web.StreamResponse:
        match fault.kind:
            case "too many requests":
                return web.Response(status=429, text="slow down", headers={"Retry-After": fault.retry_after})
            case "server error":
                return web.Response(status=500, text="broken")
            case "no key":
                return web.Response(status=401, text=f"wrong key {request.headers.get('Authorization')}")
            case "bad request":
                return web.Response(status=400, text="too long")
            case "wrong content type":
                return web.Response(text="<html>Welcome to the login page</html>", content_type="text/html")
            case "hang":
                await self._wait_for_disconnect(request)
            case "not streamed":
                message = {"choices": [{"message": {"content": self.text}, "finish_reason": "stop"}]}
                return web.json_response({**message, "usage": {"prompt_tokens": 1000, "completion_tokens": 100}})
            case _:
                pass
        calls = self.tool_calls(body)
        return await self._stream(request, [] if calls else self._continuation(body), fault, calls)

    async def _stream(
        self, request: web.Request, pieces: Sequence[str], fault: Fault, calls: Sequence[ToolCall]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(self.first_token_s)
        if calls:
            await response.write(
                event({"choices": [{"delta": {"tool_calls": [call.delta(n) for n, call in enumerate(calls)]}}]})
            )
            await response.write(event({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}))
            await response.write(b"data: [DONE]\n\n")
            return response
        cut_after = self.cut(pieces) if self.cut is not None else -1
        for number, piece in enumerate(pieces if fault.kind != "empty" else ()):
            if number == cut_after:
                self.cuts += 1
                return self._cut(request, response)
            if number == fault.after and await self._inject(request, response, fault):
                return response
            await response.write(event({"choices": [{"delta": {"content": piece}}]}))
        if cut_after == len(pieces):
            self.cuts += 1
            return self._cut(request, response)
        await response.write(event({"choices": [{"delta": {}, "finish_reason": "stop"}]}))
        if fault.kind != "no usage":
            usage = {"prompt_tokens": 1000, "completion_tokens": 100}
            await response.write(event({"choices": [], "usage": usage}))
        await response.write(b": a comment\n\ndata: [DONE]\n\n")
        if fault.kind == "no end":
            await self._wait_for_disconnect(request)
        return response

    async def _inject(self, request: web.Request, response: web.StreamResponse, fault: Fault) -> bool:
        """Inject a fault into the stream; return True if the stream ends with it."""
        match fault.kind:
            case "cut":
                self._cut(request, response)
            case "end early":
                pass
            case "malformed":
                await response.write(b'data: {"choices": oops\n\n')
            case "error event":
                await response.write(event({"error": {"message": "out of memory", "code": 500}}))
            case "gigantic":
                await response.write(b"data: " + b"x" * (3 << 20))
            case "stall":
                await self._wait_for_disconnect(request)
            case "drip":
                await self._drip(response)
            case _:
                return False
        return True

    async def _drip(self, response: web.StreamResponse) -> None:
        """Send an event that never ends, byte by byte: the connection is active, but no text arrives."""
        await response.write(b"data: ")
        for _ in range(1_000):
            await response.write(b" ")
            await asyncio.sleep(0.01)

    def _cut(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return response

    async def _wait_for_disconnect(self, request: web.Request) -> None:
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.005)
        raise ConnectionResetError

    def _continuation(self, body: dict[str, Any]) -> Sequence[str]:
        """Return the pieces that follow the text that the client has prefilled."""
        last = body["messages"][-1]
        if last["role"] != "assistant":
            return self.pieces
        assert self.text.startswith(last["content"]), "the prefilled text is not a prefix of the answer"
        rest = self.text[len(last["content"]) :]
        return [rest[start : start + 7] for start in range(0, len(rest), 7)]


def event(payload: dict[str, Any]) -> bytes:
    """Encode a server-sent event."""
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"


@asynccontextmanager
async def serve_model(server: ModelServer) -> AsyncIterator[ModelServer]:
    """Run a model server on a free port."""
    async with serve_http([web.post("/v1/chat/completions", server.complete)]) as url:
        server.url = f"{url}/v1"
        yield server

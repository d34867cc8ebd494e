"""The model: a server of OpenAI's chat completions that streams at a fixed pace and tells how long each answer took it.

python -m bench.llm_gateway.model PORT PAUSE_MS
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

import aiohttp
import msgspec
import uvloop
from aiohttp import web

_PIECE: Final = (
    b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" token"}}]}\n\n'
)
_END: Final = (
    b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"x","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9,'
    b'"total_tokens":18}}\n\ndata: [DONE]\n\n'
)


async def serve(port: int, pause_s: float) -> None:
    """Stream as many chunks as the model's name says, one each `pause_s`, until cancelled."""
    took_ms: dict[str, float] = {}
    left_at: dict[str, float] = {}

    async def complete(request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        body = msgspec.json.decode(await request.read())
        name, chunks = body["messages"][-1]["content"], int(body["model"].rpartition("-")[2])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        first = loop.time() + pause_s
        try:
            for number in range(chunks):
                await asyncio.sleep(max(0.0, first + number * pause_s - loop.time()))
                await response.write(_PIECE)
        except (asyncio.CancelledError, ConnectionError):
            left_at[name] = time.monotonic()
            raise
        took_ms[name] = (time.perf_counter() - started) * 1000
        await response.write(_END)
        return response

    async def times(_: web.Request) -> web.Response:
        told = msgspec.json.encode(took_ms)
        took_ms.clear()
        return web.Response(body=told)

    async def left(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(left_at))

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/times", times), web.get("/left", left)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


async def times(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """How long the model at `url` took for each answer since the last call, in milliseconds by the answer's name."""
    return await _told(session, url, "times")


async def left(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """When the askers that left in mid-answer closed their connections, as the machine's monotonic time."""
    return await _told(session, url, "left")


async def _told(session: aiohttp.ClientSession, url: str, what: str) -> dict[str, float]:
    async with session.get(f"{url.removesuffix('/v1')}/{what}") as response:
        return msgspec.json.decode(await response.read(), type=dict[str, float])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))

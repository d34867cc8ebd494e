"""Model server: OpenAI chat completions streamed at a fixed pace; it reports the duration of each answer.

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
    """Stream the number of chunks in the model's name, one every `pause_s` seconds, until cancelled."""
    duration_ms: dict[str, float] = {}
    closed_at: dict[str, float] = {}

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
            closed_at[name] = time.monotonic()
            raise
        duration_ms[name] = (time.perf_counter() - started) * 1000
        await response.write(_END)
        return response

    async def durations(_: web.Request) -> web.Response:
        body = msgspec.json.encode(duration_ms)
        duration_ms.clear()
        return web.Response(body=body)

    async def closed(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(closed_at))

    app = web.Application()
    app.add_routes(
        [web.post("/v1/chat/completions", complete), web.get("/durations", durations), web.get("/closed", closed)]
    )
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


async def fetch_durations(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """Return the durations of the answers since the last call, in milliseconds by request name."""
    return await _fetch(session, url, "durations")


async def fetch_closed(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """Return the monotonic times at which connections were closed in mid-answer, by request name."""
    return await _fetch(session, url, "closed")


async def _fetch(session: aiohttp.ClientSession, url: str, page: str) -> dict[str, float]:
    async with session.get(f"{url.removesuffix('/v1')}/{page}") as response:
        return msgspec.json.decode(await response.read(), type=dict[str, float])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))

"""A proxy without any logic: it passes the body on and the response's bytes back, and reads neither.

What it costs in the path, any gateway on aiohttp costs at least.

python -m bench.llm_gateway.bare_proxy PORT URL-OF-THE-MODEL
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


async def serve(port: int, url: str) -> None:
    """Pass every request on to the completions of the model at `url`, until cancelled."""
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def forward(request: web.BaseRequest) -> web.StreamResponse:
            async with session.post(f"{url}/chat/completions", data=await request.read()) as upstream:
                response = web.StreamResponse(status=upstream.status, headers={"Content-Type": upstream.content_type})
                await response.prepare(request)
                async for data in upstream.content.iter_any():
                    await response.write(data)
                return response

        runner = web.ServerRunner(web.Server(forward), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), sys.argv[2]))

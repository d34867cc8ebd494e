"""A proxy without logic: it forwards the body and the response's bytes without parsing them.

Its overhead is the minimum for any gateway on aiohttp.

python -m bench.llm_gateway.bare_proxy PORT URL-OF-THE-MODEL
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


async def serve(port: int, url: str) -> None:
    """Forward every request to the model at `url`, until cancelled."""
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

"""A reverse proxy that serves a suite below a path, as nginx does: HTTP and WebSocket, streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import WSMsgType, hdrs, web

_HOP_BY_HOP: Final = {hdrs.CONNECTION, hdrs.UPGRADE, hdrs.TRANSFER_ENCODING, hdrs.CONTENT_LENGTH, hdrs.KEEP_ALIVE}


@asynccontextmanager
async def path_proxy(target: str, prefix: str, *, strips: bool) -> AsyncIterator[str]:
    """Serve `target` below `prefix` and nothing else; return the address. `strips`: the prefix is removed."""

    async def forward(request: web.Request) -> web.StreamResponse:
        url = target + (request.raw_path.removeprefix(prefix) if strips else request.raw_path)
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        headers[hdrs.X_FORWARDED_FOR] = request.remote or ""
        if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await _forward_socket(client, request, url, headers)
        async with client.request(
            request.method, url, headers=headers, data=await request.read(), allow_redirects=False
        ) as reply:
            kept = {name: value for name, value in reply.headers.items() if name not in _HOP_BY_HOP}
            return web.Response(status=reply.status, body=await reply.read(), headers=kept)

    app = web.Application()
    app.router.add_route("*", f"{prefix}{{path:(/.*)?}}", forward)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
        await runner.cleanup()


async def _forward_socket(
    client: aiohttp.ClientSession, request: web.Request, url: str, headers: dict[str, str]
) -> web.WebSocketResponse:
    kept = {name: value for name, value in headers.items() if not name.lower().startswith("sec-websocket")}
    async with client.ws_connect(url, protocols=("trunkline.v1",), headers=kept, max_msg_size=0) as upstream:
        socket = web.WebSocketResponse(protocols=("trunkline.v1",))
        await socket.prepare(request)

        async def copy(
            source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
            sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
        ) -> None:
            async for message in source:
                if message.type is WSMsgType.TEXT:
                    await sink.send_str(message.data)
            await sink.close(code=source.close_code or 1000)

        await asyncio.gather(copy(socket, upstream), copy(upstream, socket))
    return socket

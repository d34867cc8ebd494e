"""An HTTP server of a test on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serve_http(routes: Iterable[web.RouteDef], *, cancels_handlers: bool = True) -> AsyncIterator[str]:
    """Serve routes while the block runs; yield the address.

    `cancels_handlers`: a handler is cancelled when its client disconnects.
    """
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=cancels_handlers)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()

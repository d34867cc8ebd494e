"""The HTTP API of a shop, which counts refunds and honours idempotency keys."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Shop:
    """An API that refunds orders."""

    refunds: Counter[str] = field(default_factory=Counter)
    """Number of refunds per order."""
    credits: Counter[str] = field(default_factory=Counter)
    """Number of credits per customer."""
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    """Method, path with query, headers, body."""
    lose_replies: int = 0
    """Number of next replies that are lost after the refund was made."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Replies are held back while it is cleared."""
    url: str = ""
    _refund_ids: dict[str, str] = field(default_factory=dict)

    async def refund(self, request: web.Request) -> web.Response:
        order, key = request.match_info["order"], request.headers.get("Idempotency-Key", "")
        await self._record(request)
        if order == "gone":
            return web.Response(status=404, text="no such order")
        if key not in self._refund_ids or not key:
            self.refunds[order] += 1
            self._refund_ids[key] = f"refund {sum(self.refunds.values())} of {order}"
        self.arrived.set()
        await self.gate.wait()
        if self.lose_replies:
            self.lose_replies -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"refund": self._refund_ids[key]})

    async def credit(self, request: web.Request) -> web.Response:
        await self._record(request)
        customer = request.match_info["customer"]
        self.credits[customer] += 1
        self.arrived.set()
        await self.gate.wait()
        return web.json_response({"credited": customer})

    async def status(self, request: web.Request) -> web.Response:
        await self._record(request)
        return web.json_response({"status": "shipped"})

    async def _record(self, request: web.Request) -> None:
        body = await request.json() if request.can_read_body else None
        self.requests.append((request.method, str(request.rel_url), dict(request.headers), body))


@asynccontextmanager
async def serve_shop() -> AsyncIterator[Shop]:
    """Run the API on a free port."""
    shop = Shop()
    shop.gate.set()
    app = web.Application()
    app.add_routes(
        [
            web.post("/orders/{order}/refunds", shop.refund),
            web.post("/customers/{customer}/credits", shop.credit),
            web.get("/orders/{order}", shop.status),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield shop
    finally:
        shop.gate.set()
        await runner.cleanup()

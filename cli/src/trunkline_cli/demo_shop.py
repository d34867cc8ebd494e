"""A stand-in for the order system of the demo company: every customer has a plan and two orders, drawn from the id."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiohttp import web

READER: Final = "shop"
"""Name of the demo fleet's reader that asks this shop."""
_HOST: Final = "127.0.0.1"
_STATUSES: Final = (
    "is on its way and arrives tomorrow before noon",
    "is packed and leaves our warehouse today",
    "was handed to the courier this morning and arrives within 2 working days",
    "is waiting for an item on back order, which is expected on Monday",
)
_DELIVERED: Final = "was delivered last week and left with a neighbour"
_PLANS: Final = (("Fernwick Plus", "on the first of next month"), ("no subscription", "never"))


def orders_of(customer: str) -> list[str]:
    """Return the numbers of a customer's orders, the latest first."""
    drawn = hashlib.sha256(customer.encode()).digest()
    return [f"FH-{10_000 + int.from_bytes(drawn[at : at + 4], 'big') % 90_000}" for at in (0, 4)]


def account_of(customer: str) -> dict[str, Any]:
    """Return a customer's account, as the shop answers it."""
    latest, before = orders_of(customer)
    drawn = hashlib.sha256(customer.encode()).digest()
    status = _STATUSES[drawn[8] % len(_STATUSES)]
    plan, renews = _PLANS[drawn[9] % len(_PLANS)]
    return {
        "plan": plan,
        "renews": renews,
        "latest": {"order": latest, "status": status},
        "orders": [{"order": latest, "status": status}, {"order": before, "status": _DELIVERED}],
    }


@asynccontextmanager
async def serve_demo_shop() -> AsyncIterator[str]:
    """Serve the shop on a free port of this machine; yield its address."""

    async def account(request: web.Request) -> web.Response:
        body = msgspec.json.encode(account_of(request.match_info["customer"]))
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/customers/{customer}", account)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, _HOST, 0).start()
        yield f"http://{_HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()

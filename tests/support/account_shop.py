"""A shop that answers who a customer is; it counts readings, and can hang, fail or lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from trunkline_protocols.fleet import FactField, Reader

from tests.support.http_server import serve_http


def default_account(customer: str) -> dict[str, Any]:
    """Return an account whose every value names its customer."""
    orders = [{"order": f"FH-{sum(customer.encode()) % 90_000 + 10_000}", "status": f"of {customer} is on its way"}]
    return {"plan": f"plan of {customer}", "account": f"account-{customer}", "orders": orders, "score": 3}


@dataclass
class AccountShop:
    """The accounts, and every request for one."""

    requests: list[str] = field(default_factory=list)
    """Raw paths with query."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers are held back while it is cleared."""
    account: Callable[[str], Any] = default_account
    status: int = 200
    url: str = ""

    @property
    def readings(self) -> int:
        """Number of requests so far."""
        return len(self.requests)

    async def show(self, request: web.Request) -> web.Response:
        self.requests.append(request.raw_path)
        body = msgspec.json.encode(self.account(request.match_info["customer"]))
        await self.gate.wait()
        return web.Response(body=body, content_type="application/json", status=self.status)

    def reader(self, *, fresh_s: float = 300.0, timeout_s: float = 2.0, name: str = "shop") -> Reader:
        """Return a reader of this shop."""
        return Reader(
            name=name,
            url=f"{self.url}/customers/{{customer}}",
            bind={"customer": "customer.sub"},
            fresh_s=fresh_s,
            timeout_s=timeout_s,
            fields={
                "plan": FactField(),
                "account": FactField(),
                "orders": FactField(type="table", key="order", text="{status}"),
                "score": FactField(type="number"),
            },
        )


@asynccontextmanager
async def serve_accounts() -> AsyncIterator[AccountShop]:
    """Run the shop on a free port."""
    shop = AccountShop()
    shop.gate.set()
    async with serve_http([web.get("/customers/{customer}", shop.show)]) as shop.url:
        try:
            yield shop
        finally:
            shop.gate.set()

"""First checks of every request: the host that it addresses, the address of its client, and the client's budget."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NoReturn

from aiohttp import hdrs, web

from trunkline_ingress.core.budget import Budget, Payer
from trunkline_ingress.core.network import Network, client_address, contains, is_allowed_host

_HEALTH_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""For probes, which may send any host or none; they show only that the process runs."""
_SOCKETS_RETRY_AFTER_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeGuard:
    """Checks requests, and counts the sockets of each address."""

    hosts: Collection[str]
    trusted_proxies: Collection[Network]
    unlimited: Collection[Network]
    """Clients without limits by address, for example of a load test."""
    budget: Budget
    sockets_per_address: int
    sockets: Counter[str] = field(default_factory=Counter)

    @web.middleware
    async def check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse a request for another host, or over the budget of its address."""
        if request.path not in _HEALTH_PATHS:
            if not is_allowed_host(request.headers.get(hdrs.HOST, ""), self.hosts):
                raise web.HTTPMisdirectedRequest(text="unknown host; see TRUNKLINE_EDGE_HOSTS")
            wait_s = self.charge(self.address_of(request), {})
            if wait_s > 0:
                too_many_requests(wait_s)
        return await handler(request)

    def address_of(self, request: web.Request) -> str:
        """Return the key of the client's address."""
        forwarded_for = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, []))
        return client_address(request.remote or "", forwarded_for, self.trusted_proxies)

    def charge(self, address: str, payers: Mapping[Payer, Hashable]) -> float:
        """Charge a frame or request to its address and further payers; return 0, or the seconds to wait."""
        charged = dict(payers)
        if not contains(self.unlimited, address):
            charged["address"] = address
        return self.budget.charge(charged, time.monotonic())

    @contextmanager
    def counted_socket(self, address: str) -> Iterator[None]:
        """Count a socket of an address while it is open; raise `HTTPTooManyRequests` if there are too many."""
        if self.sockets[address] >= self.sockets_per_address and not contains(self.unlimited, address):
            too_many_requests(_SOCKETS_RETRY_AFTER_S)
        self.sockets[address] += 1
        try:
            yield
        finally:
            self.sockets[address] -= 1
            if self.sockets[address] <= 0:
                del self.sockets[address]


def too_many_requests(wait_s: float) -> NoReturn:
    """Raise `HTTPTooManyRequests` with the time to wait."""
    raise web.HTTPTooManyRequests(
        text=f'{{"error":"rate_limited","retry_after_s":{round(wait_s, 3)}}}',
        content_type="application/json",
        headers={hdrs.RETRY_AFTER: str(math.ceil(wait_s))},
    )

"""Edge guards for tests of single parts."""

from __future__ import annotations

from trunkline_ingress.core.budget import Budget, Rate
from trunkline_ingress.handlers.edge import EdgeGuard

CUSTOMER = Rate(5.0, 20)


def open_guard(*, sockets_per_address: int = 1_000, customer: Rate = CUSTOMER) -> EdgeGuard:
    """Return a guard with generous limits by address."""
    return EdgeGuard(
        hosts=(),
        trusted_proxies=(),
        unlimited=(),
        budget=Budget({"customer": customer, "address": Rate(1_000.0, 10_000), "tenant": Rate(1_000.0, 10_000)}),
        sockets_per_address=sockets_per_address,
    )

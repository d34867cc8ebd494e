"""Spending in KV SPENDING, from which gateways sum the budgets of tenants."""

from __future__ import annotations

from trunkline_protocols.wire import Wire


class Spent(Wire, frozen=True, kw_only=True, tag="llm.spent"):
    """Spending of one gateway process for a tenant on a day (UTC, days since 1970), in KV SPENDING."""

    tenant: str
    day: int
    instance: str
    usd: float

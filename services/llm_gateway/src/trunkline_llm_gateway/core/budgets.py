"""Spending of tenants per day over all gateways, and its relation to their budgets.

Every process publishes its own sum, which only grows; the total is the sum over the processes. Therefore a message that
is lost or duplicated changes nothing, and a restarted process continues from the sum that it had published.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, TypeAlias

from trunkline_llm_gateway.core.config import BudgetConfig

BudgetStatus: TypeAlias = Literal["ok", "warning", "exhausted"]
DAY_S = 86_400.0


def day_of(at: float) -> int:
    """Return the number of the day (UTC) of a Unix time."""
    return int(at // DAY_S)


def budget_of(budgets: Sequence[BudgetConfig], tenant: str) -> BudgetConfig | None:
    """Return the budget of a tenant: its own, else the default `*`."""
    by_tenant = {budget.tenant: budget for budget in budgets}
    return by_tenant.get(tenant) or by_tenant.get("*")


def budget_status(budget: BudgetConfig | None, spent: float) -> BudgetStatus:
    """Compare the spent dollars with a budget."""
    if budget is None or spent < budget.usd_per_day * budget.warn_at:
        return "ok"
    return "exhausted" if spent >= budget.usd_per_day else "warning"


class Spending:
    """Dollars by tenant and process, of the current day."""

    def __init__(self, instance: str) -> None:
        """`instance` is the name of this process."""
        self._instance = instance
        self._day = 0
        self._spent: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._unpublished: set[str] = set()

    def total(self, tenant: str, day: int) -> float:
        """Return the dollars that a tenant has spent on a day, over all processes."""
        return sum(self._spent[tenant].values()) if day == self._day and tenant in self._spent else 0.0

    def add(self, tenant: str, day: int, usd: float) -> None:
        """Add to the sum of this process."""
        self._begin(day)
        sums = self._spent[tenant]
        sums[self._instance] = sums.get(self._instance, 0.0) + usd
        self._unpublished.add(tenant)

    def merge(self, tenant: str, day: int, instance: str, usd: float) -> None:
        """Merge the published sum of a process; sums only grow, so an old message changes nothing."""
        if day < self._day:
            return
        self._begin(day)
        sums = self._spent[tenant]
        sums[instance] = max(usd, sums.get(instance, 0.0))

    def take_unpublished(self) -> list[tuple[str, int, float]]:
        """Return this process's sums that have changed since the last call: tenant, day, dollars."""
        changed = [(tenant, self._day, self._spent[tenant][self._instance]) for tenant in sorted(self._unpublished)]
        self._unpublished.clear()
        return changed

    def _begin(self, day: int) -> None:
        if day > self._day:
            self._day = day
            self._spent.clear()
            self._unpublished.clear()

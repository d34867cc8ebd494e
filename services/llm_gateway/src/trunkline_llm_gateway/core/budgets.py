"""What tenants have spent today on all gateways together, and whether they may go on.

Every process tells its own sum, which only grows; the whole is the sum over the processes. So a message that is lost or
comes twice changes nothing, and a process that starts again goes on from what it had told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, TypeAlias

from trunkline_llm_gateway.core.config import BudgetConfig

Verdict: TypeAlias = Literal["free", "warn", "stop"]
DAY_S = 86_400.0


def day_of(at: float) -> int:
    """Number of the day (UTC) of a Unix time."""
    return int(at // DAY_S)


def budget_of(budgets: Sequence[BudgetConfig], tenant: str) -> BudgetConfig | None:
    """Return the budget that a tenant is held to: its own, else everybody's."""
    by_tenant = {budget.tenant: budget for budget in budgets}
    return by_tenant.get(tenant) or by_tenant.get("*")


def verdict(budget: BudgetConfig | None, spent: float) -> Verdict:
    """Say whether so much may be exceeded."""
    if budget is None or spent < budget.usd_per_day * budget.warn_at:
        return "free"
    return "stop" if spent >= budget.usd_per_day else "warn"


class Spending:
    """Dollars by tenant and process, of one day."""

    def __init__(self, instance: str) -> None:
        """`instance` is this process."""
        self._instance = instance
        self._day = 0
        self._spent: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._untold: set[str] = set()

    def spent(self, tenant: str, day: int) -> float:
        """Dollars that a tenant has spent that day, everywhere."""
        return sum(self._spent[tenant].values()) if day == self._day and tenant in self._spent else 0.0

    def add(self, tenant: str, day: int, usd: float) -> None:
        """Count what this process has just spent."""
        self._begin(day)
        mine = self._spent[tenant]
        mine[self._instance] = mine.get(self._instance, 0.0) + usd
        self._untold.add(tenant)

    def learn(self, tenant: str, day: int, instance: str, usd: float) -> None:
        """Take what a process has told; sums only grow, so an old message changes nothing."""
        if day < self._day:
            return
        self._begin(day)
        told = self._spent[tenant]
        told[instance] = max(usd, told.get(instance, 0.0))

    def untold(self) -> list[tuple[str, int, float]]:
        """Return this process' sums that have changed since the last call: tenant, day, dollars."""
        changed = [(tenant, self._day, self._spent[tenant][self._instance]) for tenant in sorted(self._untold)]
        self._untold.clear()
        return changed

    def _begin(self, day: int) -> None:
        if day > self._day:
            self._day = day
            self._spent.clear()
            self._untold.clear()

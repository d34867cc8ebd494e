"""Daily budgets of tenants: charges completions, warns, and blocks paid providers once a budget is exhausted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import Gauge

from trunkline_llm_gateway.core.budgets import BudgetStatus, Spending, budget_of, budget_status, day_of
from trunkline_llm_gateway.core.config import BudgetConfig

_log: Final = structlog.get_logger(__name__)
_USED: Final = Gauge("trunkline_llm_budget_used_ratio", "Spent share of today's budget", ["tenant"])


class BudgetGuard:
    """Decides whether a tenant may use paid providers."""

    def __init__(self, spending: Spending) -> None:
        """`spending` holds the sums of all gateways."""
        self._spending = spending
        self._logged: dict[tuple[str, int], BudgetStatus] = {}

    def may_spend(self, budgets: Sequence[BudgetConfig], tenant: str) -> bool:
        """Return whether the tenant's budget is not exhausted; warning and exhaustion are logged once a day."""
        if not budgets:
            return True
        budget = budget_of(budgets, tenant)
        if budget is None:
            return True
        day = day_of(time.time())
        spent = self._spending.total(tenant, day)
        _USED.labels(tenant).set(spent / budget.usd_per_day)
        status = budget_status(budget, spent)
        if status != "ok" and self._logged.get((tenant, day)) != status:
            self._logged = {key: value for key, value in self._logged.items() if key[1] == day}
            self._logged[tenant, day] = status
            _log_status(status, tenant=tenant, spent=round(spent, 4), budget=budget.usd_per_day)
        return status != "exhausted"

    def charge(self, tenant: str, usd: float) -> None:
        """Add the cost of a completion."""
        if usd > 0:
            self._spending.add(tenant, day_of(time.time()), usd)


def _log_status(status: BudgetStatus, *, tenant: str, spent: float, budget: float) -> None:
    if status == "exhausted":
        _log.warning("budget.exhausted", tenant=tenant, spent=spent, budget=budget)
    else:
        _log.warning("budget.warning_reached", tenant=tenant, spent=spent, budget=budget)

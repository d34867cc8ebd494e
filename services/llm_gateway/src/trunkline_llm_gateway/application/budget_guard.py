"""Who pays for what: budgets watched, warned of and held; what was spent told to the other gateways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog
from nats.aio.msg import Msg
from prometheus_client import Gauge
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError
from trunkline_protocols import codec
from trunkline_protocols.completion import Spent
from trunkline_protocols.streams import SPENDING

from trunkline_llm_gateway.core.budgets import Spending, Verdict, budget_of, day_of, verdict
from trunkline_llm_gateway.core.config import BudgetConfig

_log: Final = structlog.get_logger(__name__)
_USED: Final = Gauge("trunkline_llm_budget_used_ratio", "Part of today's budget that is spent", ["tenant"])
_TELL_EVERY_S: Final = 2.0
_ALL: Final = f"$KV.{SPENDING.name}.>"


class BudgetGuard:
    """The tenants' budgets."""

    def __init__(self, spending: Spending) -> None:
        """`spending` is what all gateways have spent."""
        self._spending = spending
        self._told: dict[tuple[str, int], Verdict] = {}

    def may_spend(self, budgets: Sequence[BudgetConfig], tenant: str) -> bool:
        """Whether a tenant may go on; its warning and its stop are told once a day."""
        if not budgets:
            return True
        budget = budget_of(budgets, tenant)
        if budget is None:
            return True
        day = day_of(time.time())
        spent = self._spending.spent(tenant, day)
        _USED.labels(tenant).set(spent / budget.usd_per_day)
        found = verdict(budget, spent)
        if found != "free" and self._told.get((tenant, day)) != found:
            self._told = {key: value for key, value in self._told.items() if key[1] == day} | {(tenant, day): found}
            _log.warning(f"llm.budget_{found}", tenant=tenant, spent=round(spent, 4), budget=budget.usd_per_day)
        return found != "stop"

    def charge(self, tenant: str, usd: float) -> None:
        """Count what a completion has cost."""
        if usd > 0:
            self._spending.add(tenant, day_of(time.time()), usd)


async def follow(bus: Bus, spending: Spending) -> None:
    """Learn what was spent before and what the other gateways spend."""

    async def on_message(message: Msg) -> None:
        if message.data:
            _learn(spending, message.data)

    await bus.subscribe(_ALL, on_message)
    for stored in await bus.read_messages(f"KV_{SPENDING.name}", _ALL):
        if stored.payload:
            _learn(spending, stored.payload)


async def tell(bus: Bus, spending: Spending, instance: str) -> None:
    """Tell what this process has spent, until cancelled."""
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        await tell_now(bus, spending, instance)


async def tell_now(bus: Bus, spending: Spending, instance: str) -> None:
    """Tell what has changed; sums that could not be told are told with the next change."""
    for tenant, day, usd in spending.untold():
        spent = Spent(tenant=tenant, day=day, instance=instance, usd=usd)
        try:
            await bus.publish(f"$KV.{SPENDING.name}.{day}.{tenant}.{instance}", codec.encode(spent))
        except BusError as error:
            _log.warning("llm.spending_untold", tenant=tenant, error=str(error))


def _learn(spending: Spending, payload: bytes) -> None:
    try:
        spent = codec.spent.decode(payload)
    except codec.DecodeError as error:
        _log.warning("llm.spending_unreadable", error=str(error))
        return
    spending.learn(spent.tenant, spent.day, spent.instance, spent.usd)

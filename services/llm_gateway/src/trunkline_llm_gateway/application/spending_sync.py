"""Synchronisation of spending between gateway processes: publishes own sums, merges the sums of the others."""

from __future__ import annotations

from typing import Final

import structlog
from trunkline_chassis.errors import BusError
from trunkline_chassis.ticks import next_tick
from trunkline_protocols.spending import Spent

from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.ports import SpendingStore

_log: Final = structlog.get_logger(__name__)
_PUBLISH_INTERVAL_S: Final = 2.0


class SpendingSync:
    """Keeps `Spending` and the shared store consistent."""

    def __init__(self, spending: Spending, store: SpendingStore, instance: str) -> None:
        """`instance` is the name of this process."""
        self._spending = spending
        self._store = store
        self._instance = instance

    def merge(self, spent: Spent) -> None:
        """Merge a sum that a process has published."""
        self._spending.merge(spent.tenant, spent.day, spent.instance, spent.usd)

    async def run(self) -> None:
        """Publish changed sums periodically, until cancelled."""
        while True:
            await next_tick(_PUBLISH_INTERVAL_S)
            await self.publish()

    async def publish(self) -> None:
        """Publish changed sums; if that fails, a sum is published again with its next change."""
        for tenant, day, usd in self._spending.take_unpublished():
            try:
                await self._store.publish(Spent(tenant=tenant, day=day, instance=self._instance, usd=usd))
            except BusError as error:
                _log.warning("spending.publish_failed", tenant=tenant, error=str(error))

"""Budgets: their status, spending summed over processes, and its synchronisation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, strategies as st
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_llm_gateway.adapters.nats import KvSpendingStore
from trunkline_llm_gateway.application.budget_guard import BudgetGuard
from trunkline_llm_gateway.application.spending_sync import SpendingSync
from trunkline_llm_gateway.core import costs
from trunkline_llm_gateway.core.budgets import Spending, budget_of, budget_status, day_of
from trunkline_llm_gateway.core.config import BudgetConfig, ProviderConfig
from trunkline_protocols.completion import Complete
from trunkline_protocols.spending import Spent


def test_budget_warns_and_is_then_exhausted() -> None:
    """A tenant has its own budget, else the default one, else none."""
    budgets = [BudgetConfig(tenant="acme", usd_per_day=10.0), BudgetConfig(tenant="*", usd_per_day=1.0)]
    own, default = budget_of(budgets, "acme"), budget_of(budgets, "other")
    assert [budget_status(own, spent) for spent in (7.9, 8.0, 9.9, 10.0)] == ["ok", "warning", "warning", "exhausted"]
    assert budget_status(default, 1.0) == "exhausted"
    assert budget_of(budgets[:1], "other") is None
    assert budget_status(None, 1e9) == "ok"


charges = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 5)), max_size=30)


@given(charges, st.randoms(use_true_random=False))
def test_spending_is_the_sum_despite_lost_duplicated_and_late_messages(
    charges: list[tuple[str, float]], random: Random
) -> None:
    """Each process publishes its own growing sum; the last message of each is enough."""
    spending, published = Spending("own"), []
    sums = {"a": 0.0, "b": 0.0}
    for instance, usd in charges:
        sums[instance] += usd
        published.append((instance, sums[instance]))
    last = list({instance: (instance, usd) for instance, usd in published}.values())
    received = random.sample(published, len(published) // 2) + last + last
    random.shuffle(received)
    for instance, usd in received:
        spending.merge("acme", 7, instance, usd)
    spending.add("acme", 7, 1.0)
    assert spending.total("acme", 7) == pytest.approx(1.0 + sum(sums.values()))
    assert spending.take_unpublished() == [("acme", 7, 1.0)]
    assert spending.take_unpublished() == []
    assert spending.total("acme", 8) == 0.0


def test_next_day_starts_at_zero() -> None:
    """Messages of the day before change nothing."""
    spending = Spending("own")
    spending.add("acme", 7, 5.0)
    spending.add("acme", 8, 1.0)
    spending.merge("acme", 7, "peer", 9.0)
    assert spending.total("acme", 8) == 1.0


@pytest.mark.parametrize(
    ("outcome", "characters", "usd"),
    [
        ("connect", 0, 0.0),
        ("status", 0, 0.0),
        ("overloaded", 0, 0.0),
        ("stopped", 0, 100.0),
        ("timeout", 0, 100.0),
        ("cut", 40, 200.0),
        ("status", 40, 200.0),
    ],
)
def test_unfinished_attempt_costs_its_processed_tokens(outcome: str, characters: int, usd: float) -> None:
    """Nothing if the provider had not started; else the prompt and the partial text."""
    provider = ProviderConfig(name="a", kind="openai", input_cost_per_million=1e6, output_cost_per_million=1e7)
    request = Complete(instructions="i" * 200, text="q" * 200)
    assert costs.unfinished_cost(provider, request, outcome=outcome, characters=characters) == usd


class FakeSpendingStore:
    """Records sums; fails while `available` is false."""

    def __init__(self) -> None:
        self.available = True
        self.published: list[Spent] = []

    async def publish(self, spent: Spent) -> None:
        if not self.available:
            raise BusUnavailableError("no connection")
        self.published.append(spent)


async def test_sum_that_could_not_be_published_is_included_in_the_next_one() -> None:
    """A sum is cumulative, so a failed publish loses nothing."""
    spending, store = Spending("own"), FakeSpendingStore()
    sync = SpendingSync(spending, store, "own")
    store.available = False
    spending.add("acme", 7, 1.0)
    await sync.publish()
    store.available = True
    spending.add("acme", 7, 2.0)
    await sync.publish()
    assert store.published == [Spent(tenant="acme", day=7, instance="own", usd=3.0)]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_gateways_share_their_spending_and_a_later_one_reads_it(bus: Bus) -> None:
    """Sums of one process for several tenants are different keys; a budget is exhausted by all processes together."""
    day, prefix = day_of(time.time()), f"t{time.monotonic_ns()}"
    one, other = f"{prefix}-one", f"{prefix}-other"
    first, second, late = (Spending(name) for name in ("gateway-1", "gateway-2", "gateway-3"))
    stores = [KvSpendingStore(bus) for _ in range(3)]
    syncs = [
        SpendingSync(spending, store, name)
        for spending, store, name in zip(
            (first, second, late), stores, ("gateway-1", "gateway-2", "gateway-3"), strict=True
        )
    ]
    await stores[1].follow(syncs[1].merge)
    first.add(one, day, 1.0)
    first.add(other, day, 2.0)
    await syncs[0].publish()
    await eventually(lambda: second.total(one, day) == 1.0 and second.total(other, day) == 2.0)
    second.add(one, day, 4.0)
    await syncs[1].publish()
    await eventually(lambda: second.total(one, day) == 5.0)
    await stores[2].follow(syncs[2].merge)
    assert (late.total(one, day), late.total(other, day)) == (5.0, 2.0)
    guard = BudgetGuard(late)
    budgets = [BudgetConfig(tenant=one, usd_per_day=5.0), BudgetConfig(tenant=other, usd_per_day=5.0)]
    assert [guard.may_spend(budgets, tenant) for tenant in (one, other)] == [False, True]

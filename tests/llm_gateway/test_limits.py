"""Retries and the adaptive concurrency limit."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_llm_gateway.core.limits import ConcurrencyLimit
from trunkline_llm_gateway.core.retries import MAX_ROUNDS, RetryBudget, retry_delay_s


def test_retries_are_a_tenth_of_the_calls() -> None:
    """Once the initial reserve is spent, a tenth of the calls may be retried."""
    budget = RetryBudget(share=0.1, max_reserve=5.0)
    spent = 0
    for _ in range(1_000):
        budget.earn()
        spent += budget.spend()
    assert 100 <= spent <= 105


@given(st.integers(1, 10), st.floats(0, 200), st.floats(0, 1), st.floats(0, 100))
def test_retry_delay_is_short_and_leaves_time(
    rounds_done: int, remaining_s: float, rng: float, retry_after_s: float
) -> None:
    """Retry-After is respected, or there is no retry."""
    delay_s = retry_delay_s(rounds_done, remaining_s, rng, retry_after_s=retry_after_s)
    if delay_s is None:
        return
    assert rounds_done < MAX_ROUNDS
    assert retry_after_s <= delay_s <= min(2.0, remaining_s / 2)


def test_limit_falls_with_rising_latency_and_recovers() -> None:
    """The latency of a queueing provider grows with its load."""
    limit = ConcurrencyLimit(64)
    for _ in range(50):
        limit.record_latency(0.1, 64)
    assert limit.value == 64
    for _ in range(30):
        limit.record_latency(1.0, limit.value)
    reduced = limit.value
    assert reduced < 32
    for _ in range(200):
        limit.record_latency(0.1, limit.value)
    assert limit.value > reduced


@given(st.lists(st.one_of(st.none(), st.floats(0.001, 10)), max_size=200), st.integers(1, 100))
def test_limit_stays_within_its_bounds(latencies: list[float | None], maximum: int) -> None:
    """It is never zero and never above the configured maximum."""
    limit = ConcurrencyLimit(maximum)
    for latency in latencies:
        if latency is None:
            limit.record_overload()
        else:
            limit.record_latency(latency, limit.value)
        assert 1 <= limit.value <= maximum

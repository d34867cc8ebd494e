"""Retry delays of deliveries."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_chassis.delivery import MAX_RETRY_DELAY_S, RetryLater, retry_delay_s


@given(st.floats(0.01, 5), st.integers(1, 200))
def test_retry_delay_grows_and_is_capped(first_s: float, deliveries: int) -> None:
    """It never shrinks with the deliveries, and never exceeds 30 s."""
    outcome = RetryLater("busy", after_s=first_s)
    assert retry_delay_s(outcome, 1) == min(first_s, MAX_RETRY_DELAY_S)
    assert retry_delay_s(outcome, deliveries) <= retry_delay_s(outcome, deliveries + 1) <= MAX_RETRY_DELAY_S

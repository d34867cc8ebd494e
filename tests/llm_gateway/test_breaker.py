"""Circuit breaker: opens on failures recorded at the end of calls, probes one call at a time, closes on success."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_llm_gateway.core.breaker import Breaker, BreakerPolicy, CallOutcome

POLICY = BreakerPolicy(max_consecutive_failures=3, window=10, min_calls=6, failure_share=0.5, min_pause_s=1.0)
outcomes: st.SearchStrategy[CallOutcome] = st.sampled_from(["success", "failure", "ignored"])


def new_breaker() -> Breaker:
    return Breaker(POLICY, lambda: 0.0)


def call(breaker: Breaker, outcome: CallOutcome, now: float = 0.0) -> bool:
    """Make a call that ends at once; return False if it was not admitted."""
    ticket = breaker.admit(now)
    if ticket is None:
        return False
    breaker.settle(ticket, outcome, now)
    return True


def open_breaker() -> Breaker:
    breaker = new_breaker()
    for _ in range(POLICY.max_consecutive_failures):
        call(breaker, "failure")
    return breaker


def test_consecutive_failures_open_it() -> None:
    """A success in between resets the count."""
    breaker = new_breaker()
    for outcome in ("failure", "failure", "success", "failure", "failure"):
        call(breaker, outcome)
    assert breaker.state(0.0) == "closed"
    call(breaker, "failure")
    assert breaker.state(0.0) == "open"


def test_failure_of_every_other_call_opens_it() -> None:
    """The share of failures opens it without three consecutive ones."""
    breaker = new_breaker()
    for outcome in ("success", "failure", "success", "failure", "success", "failure"):
        call(breaker, outcome)
    assert breaker.state(0.0) == "open"


def test_open_breaker_admits_no_call_until_its_pause_is_over() -> None:
    """After the pause it admits one call at a time."""
    breaker = open_breaker()
    assert breaker.admit(0.99) is None
    probe = breaker.admit(1.0)
    assert probe is not None
    assert breaker.state(1.0) == "half_open"
    assert breaker.admit(1.0) is None
    breaker.settle(probe, "success", 1.0)
    assert breaker.admit(1.0) is not None


def test_successful_probes_close_it() -> None:
    """Two probes are required."""
    breaker = open_breaker()
    call(breaker, "success", 1.0)
    assert breaker.state(1.0) == "half_open"
    call(breaker, "success", 1.0)
    assert breaker.state(1.0) == "closed"


def test_failed_probe_doubles_the_pause() -> None:
    """The pause is at most 30 s."""
    breaker = open_breaker()
    now, pauses = 1.0, []
    for _ in range(7):
        assert call(breaker, "failure", now)
        began = now
        while breaker.state(now) == "open":
            now += 0.5
        pauses.append(now - began)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_ignored_probe_lets_the_next_call_probe() -> None:
    """A probe whose customer left neither closes nor opens it."""
    breaker = open_breaker()
    assert call(breaker, "ignored", 1.0)
    assert breaker.state(1.0) == "half_open"
    assert call(breaker, "success", 1.0)


def test_call_of_an_earlier_state_is_not_counted() -> None:
    """A success that began before it opened does not close it, a failure does not extend its pause."""
    breaker = new_breaker()
    early, late = breaker.admit(0.0), breaker.admit(0.0)
    assert early is not None
    assert late is not None
    for _ in range(3):
        call(breaker, "failure")
    breaker.settle(early, "success", 0.5)
    assert breaker.state(0.5) == "open"
    breaker.settle(late, "failure", 1.0)
    assert breaker.state(1.0) == "half_open"


def test_retry_after_opens_it_at_once() -> None:
    """A single failure with Retry-After is enough."""
    breaker = new_breaker()
    ticket = breaker.admit(0.0)
    assert ticket is not None
    breaker.settle(ticket, "failure", 0.0, retry_after_s=5.0)
    assert breaker.state(4.9) == "open"
    assert breaker.state(5.0) == "half_open"


@given(st.lists(st.tuples(outcomes, st.floats(0, 2)), max_size=60))
def test_it_never_stays_open_indefinitely(history: list[tuple[CallOutcome, float]]) -> None:
    """After any history, a call is admitted when the longest pause is over, and successes close it."""
    breaker, now = new_breaker(), 0.0
    for outcome, pause_s in history:
        now += pause_s
        call(breaker, outcome, now)
    now += POLICY.max_pause_s
    assert call(breaker, "success", now)
    call(breaker, "success", now)
    assert breaker.state(now) == "closed"

"""The circuit breaker: opens on failures that are seen at the end, probes with one call, closes when that works."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_llm_gateway.core.breaker import Breaker, BreakerPolicy, Verdict

POLICY = BreakerPolicy(failures_in_a_row=3, window=10, least_calls=6, failure_share=0.5, first_rest_s=1.0)
verdicts: st.SearchStrategy[Verdict] = st.sampled_from(["good", "bad", "neutral"])


def breaker() -> Breaker:
    return Breaker(POLICY, lambda: 0.0)


def call(one: Breaker, verdict: Verdict, now: float = 0.0) -> bool:
    """One call that ends at once; False when it was not admitted."""
    ticket = one.admit(now)
    if ticket is None:
        return False
    one.settle(ticket, verdict, now)
    return True


def opened() -> Breaker:
    one = breaker()
    for _ in range(POLICY.failures_in_a_row):
        call(one, "bad")
    return one


def test_failures_in_a_row_open_it() -> None:
    """A success in between starts the count anew."""
    one = breaker()
    for verdict in ("bad", "bad", "good", "bad", "bad"):
        call(one, verdict)
    assert one.state(0.0) == "closed"
    call(one, "bad")
    assert one.state(0.0) == "open"


def test_provider_that_fails_every_other_call_opens_it() -> None:
    """Also without three in a row."""
    one = breaker()
    for verdict in ("good", "bad", "good", "bad", "good", "bad"):
        call(one, verdict)
    assert one.state(0.0) == "open"


def test_open_one_admits_nobody_until_it_has_rested() -> None:
    """Then one call at a time."""
    one = opened()
    assert one.admit(0.99) is None
    probe = one.admit(1.0)
    assert probe is not None
    assert one.state(1.0) == "half_open"
    assert one.admit(1.0) is None
    one.settle(probe, "good", 1.0)
    assert one.admit(1.0) is not None


def test_probes_that_succeed_close_it() -> None:
    """Two of them."""
    one = opened()
    call(one, "good", 1.0)
    assert one.state(1.0) == "half_open"
    call(one, "good", 1.0)
    assert one.state(1.0) == "closed"


def test_probe_that_fails_doubles_the_rest() -> None:
    """Up to half a minute."""
    one = opened()
    now, rests = 1.0, []
    for _ in range(7):
        assert call(one, "bad", now)
        began = now
        while one.state(now) == "open":
            now += 0.5
        rests.append(now - began)
    assert rests == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_probe_that_says_nothing_gives_its_place_free() -> None:
    """The customer left: the next call probes."""
    one = opened()
    assert call(one, "neutral", 1.0)
    assert one.state(1.0) == "half_open"
    assert call(one, "good", 1.0)


def test_call_from_before_does_not_judge_after() -> None:
    """A success that began before it opened does not close it, a failure does not extend its rest."""
    one = breaker()
    early, late = one.admit(0.0), one.admit(0.0)
    assert early is not None
    assert late is not None
    for _ in range(3):
        call(one, "bad")
    one.settle(early, "good", 0.5)
    assert one.state(0.5) == "open"
    one.settle(late, "bad", 1.0)
    assert one.state(1.0) == "half_open"


def test_provider_that_asks_for_rest_gets_it_at_once() -> None:
    """Retry-After needs no second failure."""
    one = breaker()
    ticket = one.admit(0.0)
    assert ticket is not None
    one.settle(ticket, "bad", 0.0, retry_after_s=5.0)
    assert one.state(4.9) == "open"
    assert one.state(5.0) == "half_open"


@given(st.lists(st.tuples(verdicts, st.floats(0, 2)), max_size=60))
def test_it_never_stays_open_for_ever(history: list[tuple[Verdict, float]]) -> None:
    """Whatever happened: after the longest rest somebody is admitted, and successes close it."""
    one, now = breaker(), 0.0
    for verdict, pause in history:
        now += pause
        call(one, verdict, now)
    now += POLICY.longest_rest_s
    assert call(one, "good", now)
    call(one, "good", now)
    assert one.state(now) == "closed"

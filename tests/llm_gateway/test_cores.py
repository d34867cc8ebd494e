"""The small pure parts: continuation, events, retries, the limit, the order of providers."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import assume, given, strategies as st
from trunkline_llm_gateway.core import costs
from trunkline_llm_gateway.core.budgets import Spending, budget_of, verdict
from trunkline_llm_gateway.core.config import BudgetConfig, GatewayConfig, ProviderConfig, RouteConfig
from trunkline_llm_gateway.core.continuation import SHORTEST_ECHO, Continuation
from trunkline_llm_gateway.core.events import EventReader, EventTooLongError
from trunkline_llm_gateway.core.limits import ConcurrencyLimit
from trunkline_llm_gateway.core.retries import MOST_ROUNDS, RetryBudget, pause_s
from trunkline_llm_gateway.core.routing import options, ranked
from trunkline_protocols.completion import Complete, ToolSpec

from tests.llm_gateway.gateway_harness import order

# -- continuation ---

characters = st.text(alphabet="ab. \n", max_size=60)


def goes_on(written: str, said: str, sizes: list[int]) -> str:
    """The new text, when a model says `said` in pieces of these sizes."""
    continuation, new, start = Continuation(written), "", 0
    for size in [*sizes, len(said)]:
        new += continuation.add(said[start : start + size])
        start += size
    return new + continuation.end()


@given(characters, st.integers(0, 60), st.lists(st.integers(1, 9), max_size=12))
def test_text_that_is_continued_anywhere_stays_the_same(text: str, cut: int, sizes: list[int]) -> None:
    """The model is given it without white space at the end, and writes that again or not."""
    written, rest = text[:cut], text[cut:]
    given_text = Continuation(written).given
    assume(not (len(given_text) >= SHORTEST_ECHO and text[len(given_text) :].lstrip().startswith(given_text)))
    assume(not (len(given_text) >= SHORTEST_ECHO and rest.lstrip().startswith(given_text)))
    assert written + goes_on(written, text[len(given_text) :], sizes) == text


@given(st.lists(st.integers(1, 9), max_size=20))
def test_model_that_repeats_what_it_was_given_is_not_shown_twice(sizes: list[int]) -> None:
    """Some begin anew although they were asked to go on."""
    assert goes_on("Refunds take five ", "Refunds take five days.", sizes) == "days."
    assert goes_on("Refunds take five ", "\nRefunds take five days.", sizes) == "days."


# -- events ---


@given(st.lists(st.binary(max_size=20).filter(lambda data: b"\n" not in data and b"\r" not in data)), st.data())
def test_events_come_out_however_the_network_cut_them(payloads: list[bytes], data: st.DataObject) -> None:
    """With either kind of line break; comments and names are skipped."""
    wire = b"".join(b": ping\nevent: x\r\ndata: " + payload + b"\r\n\n" for payload in payloads)
    reader, found, start = EventReader(), [], 0
    while start < len(wire):
        size = data.draw(st.integers(1, 30))
        found += reader.feed(wire[start : start + size])
        start += size
    assert found == [payload.strip() for payload in payloads]


def test_event_that_does_not_end_is_a_fault() -> None:
    """Nothing is collected for ever."""
    reader = EventReader(longest_bytes=10)
    with pytest.raises(EventTooLongError):
        reader.feed(b"data: " + b"x" * 20)


def test_last_event_needs_no_line_break() -> None:
    """Some servers just close."""
    reader = EventReader()
    assert reader.feed(b"data: a\n\ndata: b") == [b"a"]
    assert reader.end() == [b"b"]


# -- retries ---


def test_retries_are_a_tenth_of_the_calls() -> None:
    """Once the savings are spent."""
    budget = RetryBudget(share=0.1, most=5.0)
    spent = 0
    for _ in range(1_000):
        budget.earn()
        spent += budget.spend()
    assert 100 <= spent <= 105


@given(st.integers(1, 10), st.floats(0, 200), st.floats(0, 1), st.floats(0, 100))
def test_pause_before_a_retry_is_short_and_leaves_time(done: int, left_s: float, rng: float, asked_s: float) -> None:
    """What a provider asks for is kept, or there is no retry."""
    wait_s = pause_s(done, left_s, rng, asked_s=asked_s)
    if wait_s is None:
        return
    assert done < MOST_ROUNDS
    assert asked_s <= wait_s <= min(2.0, left_s / 2)


# -- the limit ---


def test_provider_that_gets_slower_is_given_less_and_later_more_again() -> None:
    """The latency of a queue grows with what is in it; without one it does not."""
    limit = ConcurrencyLimit(64)
    for _ in range(50):
        limit.answered(0.1, 64)
    assert limit.value == 64
    for _ in range(30):
        limit.answered(1.0, limit.value)
    slow = limit.value
    assert slow < 32
    for _ in range(200):
        limit.answered(0.1, limit.value)
    assert limit.value > slow


@given(st.lists(st.one_of(st.none(), st.floats(0.001, 10)), max_size=200), st.integers(1, 100))
def test_limit_stays_within_its_bounds(latencies: list[float | None], most: int) -> None:
    """Never nothing, never more than is configured."""
    limit = ConcurrencyLimit(most)
    for latency in latencies:
        if latency is None:
            limit.refused()
        else:
            limit.answered(latency, limit.value)
        assert 1 <= limit.value <= most


# -- the order ---


def config(*providers: ProviderConfig, **changes: object) -> GatewayConfig:
    return GatewayConfig(provider=list(providers), **changes)  # type: ignore[arg-type]


def remote(name: str, **changes: object) -> ProviderConfig:
    return ProviderConfig(name=name, kind="openai", base_url="http://x/v1", models=["small"], **changes)  # type: ignore[arg-type]


EXTRACTIVE = ProviderConfig(name="quotes", kind="extractive")
DEAR = remote("dear", input_cost_per_million=10.0, output_cost_per_million=30.0)
CHEAP = remote("cheap", input_cost_per_million=1.0)
NAMES = ["dear", "quotes", "cheap"]


def names(strategy: str, rng: float = 0.5, weights: list[float] | None = None, **latencies: float) -> list[str]:
    whole = config(DEAR, EXTRACTIVE, CHEAP)
    route = RouteConfig(name="default", providers=NAMES, strategy=strategy, weights=weights or [])  # type: ignore[arg-type]
    found = ranked(
        options(whole, order()), route, order(), first_token_s=lambda name: latencies.get(name, 0.0), rng=lambda: rng
    )
    return [option.provider.name for option in found]


def test_strategies_order_models_and_quote_last() -> None:
    """Quoting costs nothing and takes no time: it would always win."""
    assert names("priority") == NAMES
    assert names("cheapest") == ["cheap", "dear", "quotes"]
    assert names("fastest", dear=0.1, cheap=0.2) == ["dear", "cheap", "quotes"]
    assert names("weighted", weights=[1.0, 1.0, 9.0]) == ["cheap", "dear", "quotes"]


def test_weights_are_shares_of_first_places() -> None:
    """Nine to one."""
    random_ = random.Random(3)  # noqa: S311 - draws, not secrets
    route = RouteConfig(name="default", providers=["dear", "cheap"], strategy="weighted", weights=[9.0, 1.0])
    may = options(config(DEAR, CHEAP), order())
    firsts = [
        ranked(may, route, order(), first_token_s=lambda _: 0.0, rng=random_.random)[0].provider.name
        for _ in range(2_000)
    ]
    assert 0.87 < firsts.count("dear") / len(firsts) < 0.93


def test_region_binds_a_conversation_to_providers_that_may_serve_it() -> None:
    """An unlabelled provider could be anywhere; quoting sends nothing anywhere."""
    eu, us, unknown = remote("eu", region="eu"), remote("us", region="us"), remote("unknown")
    plain = config(eu, us, unknown, EXTRACTIVE)
    allowed = config(eu, us, unknown, EXTRACTIVE, residency={"eu": ["eu", "us"], "local": ["eu"]})

    def may(whole: GatewayConfig, region: str, **changes: object) -> list[str]:
        return [option.provider.name for option in options(whole, order(region=region, **changes))]

    assert may(plain, "eu") == ["eu", "quotes"]
    assert may(plain, "ch") == ["quotes"]
    assert may(plain, "local") == ["eu", "us", "unknown", "quotes"]
    assert may(allowed, "eu") == ["eu", "us", "quotes"]
    assert may(allowed, "local") == ["eu", "quotes"]
    assert may(plain, "eu", provider="us") == []


def test_order_goes_to_who_can_do_what_it_asks_for() -> None:
    """A model by its name; tools where there are any."""
    able, unable = remote("able"), remote("unable", tools=False)
    whole = config(able, unable, EXTRACTIVE)
    tool = ToolSpec(name="t", description="d", parameters={})
    assert [option.provider.name for option in options(whole, order(tools=[tool]))] == ["able", "quotes"]
    assert [option.provider.name for option in options(whole, order(model="large"))] == ["quotes"]


# -- budgets ---


def test_budget_warns_and_then_stops() -> None:
    """A tenant's own budget, else everybody's, else none."""
    budgets = [BudgetConfig(tenant="acme", usd_per_day=10.0), BudgetConfig(tenant="*", usd_per_day=1.0)]
    own, shared = budget_of(budgets, "acme"), budget_of(budgets, "other")
    assert [verdict(own, spent) for spent in (7.9, 8.0, 9.9, 10.0)] == ["free", "warn", "warn", "stop"]
    assert verdict(shared, 1.0) == "stop"
    assert budget_of(budgets[:1], "other") is None
    assert verdict(None, 1e9) == "free"


events = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 5)), max_size=30)


@given(events, st.randoms(use_true_random=False))
def test_spending_is_the_sum_whatever_is_lost_doubled_or_late(spent: list[tuple[str, float]], random_: Any) -> None:
    """Each process tells its own sum, which only grows; the last of each is enough."""
    here, told = Spending("here"), []
    sums = {"a": 0.0, "b": 0.0}
    for instance, usd in spent:
        sums[instance] += usd
        told.append((instance, sums[instance]))
    lasts = list({instance: (instance, usd) for instance, usd in told}.values())
    heard = random_.sample(told, len(told) // 2) + lasts + lasts
    random_.shuffle(heard)
    for instance, usd in heard:
        here.learn("acme", 7, instance, usd)
    here.add("acme", 7, 1.0)
    assert here.spent("acme", 7) == pytest.approx(1.0 + sum(sums.values()))
    assert here.untold() == [("acme", 7, 1.0)]
    assert here.untold() == []
    assert here.spent("acme", 8) == 0.0


def test_next_day_begins_at_nothing() -> None:
    """And yesterday's messages change nothing."""
    here = Spending("here")
    here.add("acme", 7, 5.0)
    here.add("acme", 8, 1.0)
    here.learn("acme", 7, "there", 9.0)
    assert here.spent("acme", 8) == 1.0


@pytest.mark.parametrize(
    ("outcome", "written", "usd"),
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
def test_try_without_an_answer_costs_what_was_worked_on(outcome: str, written: int, usd: float) -> None:
    """Nothing where the provider had not begun; its prompt where it had; and what it wrote."""
    one = ProviderConfig(name="a", kind="openai", input_cost_per_million=1e6, output_cost_per_million=1e7)
    asked = Complete(instructions="i" * 200, question="q" * 200)
    assert costs.lost(one, asked, outcome=outcome, written=written) == usd

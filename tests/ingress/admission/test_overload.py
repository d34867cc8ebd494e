"""Admission under overload, on a simulated suite of known capacity: time is simulated, so no machine is too slow."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings, strategies as st
from trunkline_ingress.core.admission import AdmissionPolicy

from tests.ingress.admission.simulated_suite import SimulatedSuite, Source, Turn, overheads_s, percentile
from tests.support.suite import PATIENT

TARGET_S = AdmissionPolicy().target_s
BURST = AdmissionPolicy().burst

NO_MODEL: Callable[[random.Random], float] = lambda _: 0.0  # noqa: E731
FAST_MODEL: Callable[[random.Random], float] = lambda rng: rng.lognormvariate(-0.8, 0.4)  # noqa: E731
SLOW_MODEL: Callable[[random.Random], float] = lambda rng: rng.lognormvariate(3.0, 0.3)  # noqa: E731
"""Median of 20 s."""

PARTS = st.sampled_from([1, 2, 3])
MODELS = st.sampled_from([NO_MODEL, FAST_MODEL])
SEEDS = st.integers(0, 10_000)


def examples(number: int) -> settings:
    """Return settings for some examples, the same in every run; the smallest one would take minutes to find."""
    return settings(max_examples=number, deadline=None, derandomize=True, phases=[Phase.generate])


def refused(turns: list[Turn], *, after_s: float = 0.0, tenant: str | None = None) -> int:
    return sum(not turn.is_admitted and turn.arrived_at >= after_s and tenant in {None, turn.tenant} for turn in turns)


@examples(25)
@given(capacity=st.sampled_from([60, 100, 200]), factor=st.floats(0.5, 20), model=MODELS, ingresses=PARTS, seed=SEEDS)
def test_accepted_turns_wait_for_a_bounded_time_at_any_rate(
    capacity: float, factor: float, model: Callable[[random.Random], float], ingresses: int, seed: int
) -> None:
    """The first peak may fill the burst; after it the overhead stays near the target, and the capacity is used."""
    suite = SimulatedSuite(lambda _: capacity, model_s=model, ingresses=ingresses, seed=seed)
    peak_s = BURST / capacity
    end_s = 2 * peak_s + 8
    turns = suite.run([Source(factor * capacity, 0, end_s)], until_s=end_s)
    assert overheads_s(turns)[-1] < 1.2 * peak_s + 1.5
    settled = overheads_s(turns, after_s=peak_s + 2)
    # The lowest limit lets eight turns wait, also if the capacity is small.
    assert percentile(settled, 99) < 1.0 + 16 / capacity
    answered_per_s = len(settled) / (end_s - peak_s - 2)
    assert answered_per_s > 0.75 * min(1.0, factor) * capacity


@examples(10)
@given(factor=st.floats(3, 15), model=MODELS, ingresses=PARTS, seed=SEEDS)
def test_overload_is_over_five_seconds_after_it(
    factor: float, model: Callable[[random.Random], float], ingresses: int, seed: int
) -> None:
    """Ten seconds far beyond capacity, then half of it: nothing is refused any more, and nothing waits."""
    capacity = 100.0
    suite = SimulatedSuite(lambda _: capacity, model_s=model, ingresses=ingresses, seed=seed)
    turns = suite.run([Source(factor * capacity, 0, 10), Source(0.5 * capacity, 10, 25)], until_s=25)
    assert refused(turns) > 0
    assert refused(turns, after_s=15) == 0
    assert percentile(overheads_s(turns, after_s=15), 99) < TARGET_S


@examples(10)
@given(rate=st.floats(0.1, 0.7), model=MODELS, ingresses=PARTS, seed=SEEDS)
def test_load_below_capacity_is_never_refused(
    rate: float, model: Callable[[random.Random], float], ingresses: int, seed: int
) -> None:
    """Random arrivals make queues, which are no overload."""
    turns = SimulatedSuite(lambda _: 100.0, model_s=model, ingresses=ingresses, seed=seed).run(
        [Source(100 * rate, 0, 30)], until_s=30
    )
    assert refused(turns) == 0


@examples(10)
@given(peak=st.integers(50, 200), model=MODELS, ingresses=st.sampled_from([1, 2]), seed=SEEDS)
def test_peak_after_an_idle_time_is_absorbed(
    peak: int, model: Callable[[random.Random], float], ingresses: int, seed: int
) -> None:
    """Some hundred turns at once, again and again, beside a little load."""
    peaks = [Source(20 * peak, at_s, at_s + 0.05) for at_s in (5, 13, 21)]
    turns = SimulatedSuite(lambda _: 150.0, model_s=model, ingresses=ingresses, seed=seed).run(
        [Source(15, 0, 25), *peaks], until_s=25
    )
    assert refused(turns) == 0


@pytest.mark.parametrize("ingresses", [1, 2])
@pytest.mark.parametrize(
    ("capacity", "sources"),
    [(8.0, [Source(12, 0, 20)]), (6.0, [Source(2_000, 0, 0.05), Source(2, 0.05, 40)]), (3.0, [Source(12, 0, 4)])],
    ids=["load of faults", "a hundred at once", "starved"],
)
def test_load_of_tests_is_not_refused_by_a_patient_suite(
    capacity: float, sources: list[Source], ingresses: int
) -> None:
    """As on a machine that is slower than the tests send: they set a high target, and see no refusal."""
    policy = AdmissionPolicy(target_s=float(PATIENT["TRUNKLINE_ADMISSION_TARGET_S"]))
    suite = SimulatedSuite(lambda _: capacity, ingresses=ingresses, policy=policy)
    assert refused(suite.run(sources, until_s=60)) == 0


@pytest.mark.parametrize("rate", [1, 10, 50])
@pytest.mark.parametrize("ingresses", [1, 2])
def test_slow_model_is_no_overload(rate: float, ingresses: int) -> None:
    """Twenty seconds per answer, up to a thousand turns at the model, also while the load begins."""
    suite = SimulatedSuite(lambda _: 150.0, model_s=SLOW_MODEL, ingresses=ingresses)
    turns = suite.run([Source(rate, 0, 60)], until_s=60)
    assert refused(turns) == 0
    assert percentile(overheads_s(turns), 99) < TARGET_S


@pytest.mark.parametrize("ingresses", [1, 2])
def test_model_without_free_permits_is_overload(ingresses: int) -> None:
    """Heartbeats report work that waits for a permit long before the first answer shows it.

    64 permits of 20 s answer three turns a second, of ten: without a limit, a turn would wait for minutes.
    """
    suite = SimulatedSuite(lambda _: 150.0, model_s=SLOW_MODEL, model_slots=64, ingresses=ingresses)
    turns = suite.run([Source(10, 0, 120)], until_s=120)
    assert refused(turns) > 0
    assert overheads_s(turns)[-1] < 20
    assert len(overheads_s(turns)) > 0.9 * 120 * 64 / 21


def test_frozen_suite_accepts_no_more_than_a_burst() -> None:
    """Accepted messages are answered after the thaw, and the others were refused in time."""
    suite = SimulatedSuite(lambda now: 0.0 if 5 < now < 20 else 150.0, model_s=FAST_MODEL, ingresses=2)
    turns = suite.run([Source(50, 0, 40)], until_s=40)
    assert suite.max_in_flight <= BURST + 2 * 50
    assert refused(turns) > 0
    assert refused(turns, after_s=25) == 0


def test_short_freeze_refuses_nothing() -> None:
    """As when the owner of a slot dies: turns wait for about a second."""
    suite = SimulatedSuite(lambda now: 0.0 if 5 < now < 6.2 else 150.0, model_s=FAST_MODEL, ingresses=2)
    assert refused(suite.run([Source(50, 0, 20)], until_s=20)) == 0


@examples(8)
@given(flood=st.floats(300, 2_000), model=MODELS, ingresses=PARTS, seed=SEEDS)
def test_tenant_below_its_share_is_admitted_while_another_floods(
    flood: float, model: Callable[[random.Random], float], ingresses: int, seed: int
) -> None:
    """Capacity for 150 turns a second: of three tenants, one needs 15, and two divide the rest."""
    suite = SimulatedSuite(lambda _: 150.0, model_s=model, ingresses=ingresses, seed=seed)
    sources = [Source(flood, 0, 20, "flood"), Source(15, 0, 20, "small"), Source(200, 0, 20, "large")]
    turns = [turn for turn in suite.run(sources, until_s=20) if turn.arrived_at >= 4]
    admitted = {
        name: sum(turn.is_admitted for turn in turns if turn.tenant == name) for name in ("flood", "small", "large")
    }
    # An ingress has some fifteen turns in flight, so that shares are few whole turns.
    assert admitted["small"] >= 0.85 * (admitted["small"] + refused(turns, tenant="small"))
    assert 0.6 < admitted["flood"] / admitted["large"] < 1.6


@pytest.mark.parametrize("customers", [600, 3_000])
def test_refused_turns_are_admitted_if_they_return_when_told(customers: int) -> None:
    """The named time is honest: each of many customers who come at once needs few attempts, and no time is lost."""
    suite = SimulatedSuite(lambda _: 100.0, model_s=FAST_MODEL, ingresses=2, retries=True)
    suite.run([Source(customers / 0.5, 0, 0.5)], until_s=customers / 100 * 2.5 + 30)
    turns = suite.turns
    arrived = sum(turn.arrived_at < 0.5 for turn in turns)
    answered = [turn for turn in turns if turn.is_admitted]
    assert len(answered) == arrived
    assert len(turns) < 8 * arrived
    assert max(turn.answered_at for turn in answered) < arrived / 100 * 2.5 + 20
    assert all(0.5 < turn.retry_after_s < 20 for turn in turns if not turn.is_admitted)

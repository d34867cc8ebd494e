"""Profiles and intended moments: rates, order, seeds, shares of processes, errors."""

from __future__ import annotations

import random
from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import given, strategies as st
from trunkline_cli.bench.load.core.profile import Phase, ProfileError, constant, mean_rate, parse_profile, seconds_of
from trunkline_cli.bench.load.core.schedule import ARRIVALS, Arrival, Arrivals, arrivals, share_of

KINDS = st.sampled_from(ARRIVALS)
RATES = st.floats(0, 50)
PHASES = st.lists(
    st.one_of(
        st.builds(lambda rate, seconds: Phase("hold", rate, rate, seconds), RATES, st.floats(0.1, 30)),
        st.builds(lambda first, last, seconds: Phase("ramp", first, last, seconds), RATES, RATES, st.floats(0.1, 30)),
    ),
    min_size=1,
    max_size=4,
).filter(lambda phases: sum(phase.turns for phase in phases) > 0)


def draws(seed: int) -> random.Random:
    """Return a source of random numbers."""
    return random.Random(seed)  # noqa: S311 - load, not secrets


def schedule(phases: list[Phase] | tuple[Phase, ...], kind: Arrivals, seed: int = 1) -> list[Arrival]:
    """Return all turns."""
    return list(arrivals(phases, kind, draws(seed)))


def turns_until(phases: list[Phase] | tuple[Phase, ...], at_s: float) -> float:
    """Return the expected number of turns until a moment, by the area below the rate."""
    total = 0.0
    for phase in phases:
        inside = min(max(at_s, 0.0), phase.seconds)
        slope = (phase.last_rate - phase.first_rate) / phase.seconds
        total += phase.first_rate * inside + slope * inside**2 / 2
        at_s -= phase.seconds
    return total


@given(PHASES, KINDS, st.integers(0, 1_000))
def test_moments_rise_within_their_phases(phases: list[Phase], kind: Arrivals, seed: int) -> None:
    """Each turn lies in the phase that it counts for."""
    found = schedule(phases, kind, seed)
    starts = [seconds_of(phases[:number]) for number in range(len(phases))]
    assert [each.at_s for each in found] == sorted(each.at_s for each in found)
    for each in found:
        assert starts[each.phase] <= each.at_s <= starts[each.phase] + phases[each.phase].seconds + 1e-9


@given(PHASES)
def test_steady_load_has_the_rate_at_every_moment(phases: list[Phase]) -> None:
    """The n-th turn comes when n + 1/2 turns are expected, on ramps too."""
    found = schedule(phases, "steady")
    assert abs(len(found) - sum(phase.turns for phase in phases)) <= 0.5 + 1e-6
    for number, each in enumerate(found):
        assert turns_until(phases, each.at_s) == pytest.approx(number + 0.5, abs=1e-3)


def test_poisson_load_has_mean_and_spread_of_its_rate() -> None:
    """2,000 expected turns: their number and the distances are exponential within five standard errors."""
    phases = constant(100.0, 20.0)
    found = schedule(phases, "poisson", seed=7)
    assert abs(len(found) - 2_000) < 5 * sqrt(2_000)
    gaps = [later.at_s - earlier.at_s for earlier, later in pairwise(found)]
    mean = sum(gaps) / len(gaps)
    spread = sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert spread == pytest.approx(mean, rel=0.15)


def test_burst_is_dense_and_a_ramp_begins_slowly() -> None:
    """Half of a ramp's turns come in the last three tenths of it."""
    phases = parse_profile("ramp:0-100/10s,burst:1000/2s,hold:0/5s")
    found = schedule(phases, "poisson")
    ramp = [each.at_s for each in found if each.phase == 0]
    assert sum(at > 10 / sqrt(2) for at in ramp) == pytest.approx(len(ramp) / 2, abs=5 * sqrt(len(ramp)))
    assert sum(each.phase == 1 for each in found) == pytest.approx(2_000, abs=5 * sqrt(2_000))
    assert not any(each.phase == 2 for each in found)


@given(PHASES, KINDS, st.integers(0, 100), st.integers(1, 5))
def test_shares_of_processes_are_together_the_whole(
    phases: list[Phase], kind: Arrivals, seed: int, processes: int
) -> None:
    """The load does not depend on the number of processes, and a seed repeats it."""
    whole = schedule(phases, kind, seed)
    shares = [list(share_of(arrivals(phases, kind, draws(seed)), number, processes)) for number in range(processes)]
    assert sorted(each for share in shares for each in share) == sorted(whole)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_profile_is_read() -> None:
    """Kinds, rates and durations in seconds, minutes and hours."""
    phases = parse_profile("ramp:0-200/60s, hold:200/5m,burst:1000/10s")
    assert phases == (Phase("ramp", 0, 200, 60), Phase("hold", 200, 200, 300), Phase("burst", 1000, 1000, 10))
    assert [phase.name for phase in phases] == ["ramp:0-200/60s", "hold:200/300s", "burst:1000/10s"]
    assert seconds_of(phases) == 370
    assert mean_rate(phases) == pytest.approx((6_000 + 60_000 + 10_000) / 370)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "phase 1, '': must be kind:rate/duration"),
        ("hold:20/5s,wave:3/4s", "phase 2, 'wave:3/4s': must be kind:rate/duration as in ramp:"),
        ("hold:20/5", "phase 1, 'hold:20/5': must be"),
        ("hold:-1/5s", "phase 1, 'hold:-1/5s': must be"),
        ("ramp:20/5s", "ramp has two rates, as in ramp:0-200/60s"),
        ("burst:20-30/5s", "burst has one rate, as in burst:200/60s"),
        ("hold:1.2.3/5s", "could not convert"),
        ("hold:1/0s", "has no duration"),
        ("hold:0/5s", "no phase has a rate over 0"),
        ("hold:1000000/5s", "over 100000 turns per second"),
        ("hold:1/200h", "longer than seven days"),
    ],
)
def test_error_names_the_phase(text: str, message: str) -> None:
    """And says how it is written."""
    with pytest.raises(ProfileError) as raised:
        parse_profile(text)
    assert message in str(raised.value)

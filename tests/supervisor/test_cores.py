"""What the supervisor decides: restarts, health, scale. Pure."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st
from trunkline_supervisor.core.health import CUT_OFF_S, FROZEN_S, LATE_S, LEAVE_S, HealthSignals, assess, assess_server
from trunkline_supervisor.core.restarts import LONGEST_DELAY_S, MOST_DEATHS, WITHIN_S, Intensity, Restarts
from trunkline_supervisor.core.scaling import PoolLoad, PoolScale, ScalingLimits, step

LIMITS = ScalingLimits(min_processes=1, max_processes=4, queue_threshold=8, grow_after_s=2.0, shrink_after_s=60.0)


# -- restarts ---


def test_delay_grows_to_its_cap_and_starts_anew_after_a_stable_life() -> None:
    """A process that dies again and again waits longer each time."""
    restarts, delays = Restarts(), []
    for _ in range(12):
        restarts = restarts.after_death(lived_s=1.0)
        delays.append(restarts.delay_s)
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY_S
    assert restarts.after_death(lived_s=60.0).delay_s == delays[0]


def test_many_deaths_in_a_short_time_are_a_crash_loop() -> None:
    """The same number, spread out, is not; a larger pool may lose more."""
    quick, slow = Intensity(), Intensity()
    for number in range(MOST_DEATHS + 1):
        quick = quick.after_death(now=float(number))
        slow = slow.after_death(now=number * WITHIN_S)
    assert quick.is_crash_loop(processes=1)
    assert not quick.is_crash_loop(processes=2)
    assert not slow.is_crash_loop(processes=1)


# -- health ---


def signs(
    *,
    running_s: float = 300.0,
    silent_s: float | None = 0.5,
    unanswered_s: float = 0.0,
    others_beat: bool = True,
    leaving_s: float = 0.0,
) -> HealthSignals:
    return HealthSignals(running_s, silent_s, unanswered_s, others_beat, leaving_s)


def test_frozen_process_neither_beats_nor_answers() -> None:
    """One sign alone replaces nobody."""
    assert assess(signs()) == "well"
    assert assess(signs(silent_s=LATE_S + 0.1)) == "ask"
    assert assess(signs(silent_s=FROZEN_S, unanswered_s=FROZEN_S)) == "frozen"
    assert assess(signs(silent_s=1.0, unanswered_s=60.0)) == "well"


def test_process_that_says_it_stops_and_never_does_is_replaced() -> None:
    """It beats and answers, and does nothing any more; one that finishes its work has the time for it."""
    assert assess(signs(leaving_s=LEAVE_S)) == "well"
    assert assess(signs(leaving_s=LEAVE_S + 0.1)) == "never ended"


@given(silent_s=st.floats(0, 10_000), running_s=st.floats(0, 10_000))
def test_outage_of_nats_replaces_nobody_who_answers(silent_s: float, running_s: float) -> None:
    """Then nobody beats, and everybody answers."""
    seen = signs(silent_s=silent_s, running_s=running_s, unanswered_s=0.0, others_beat=False)
    assert assess(seen) in {"well", "ask"}


def test_who_answers_but_is_not_heard_while_others_are_is_cut_off() -> None:
    """After a patience that covers every reconnection."""
    assert assess(signs(silent_s=CUT_OFF_S - 1)) == "ask"
    assert assess(signs(silent_s=CUT_OFF_S + 1)) == "cut off"


def test_start_has_its_time() -> None:
    """A process that was never heard is replaced only when it should long be ready."""
    assert assess(signs(silent_s=None, running_s=10.0)) == "well"
    assert assess(signs(silent_s=None, running_s=1000.0)) == "never ready"
    assert assess(signs(silent_s=None, running_s=1000.0, others_beat=False)) == "well"


def test_server_is_replaced_after_its_patience() -> None:
    """Not before."""
    assert assess_server(unanswered_s=2.4, patience_s=2.5) == "ask"
    assert assess_server(unanswered_s=2.5, patience_s=2.5) == "frozen"


# -- scale ---


def run(load: PoolLoad, seconds: int, scale: PoolScale, start: float = 0.0) -> list[int]:
    sizes = []
    for second in range(seconds):
        scale = step(scale, load, LIMITS, start + second)
        sizes.append(scale.size)
    return sizes


@pytest.mark.parametrize("load", [PoolLoad(100), PoolLoad(1, age_s=3.0)], ids=["deep", "old"])
def test_pressure_that_lasts_grows_the_pool_step_by_step_to_its_most(load: PoolLoad) -> None:
    """One process at a time, each after the pressure has lasted."""
    sizes = run(load, 30, PoolScale(1))
    assert sizes[0] == 1
    assert sizes[-1] == LIMITS.max_processes
    assert all(after - before in {0, 1} for before, after in itertools.pairwise(sizes))


def test_calm_shrinks_the_pool_only_after_long() -> None:
    """And never below its least."""
    assert run(PoolLoad(0), 59, PoolScale(3))[-1] == 3
    assert run(PoolLoad(0), 1000, PoolScale(3))[-1] == LIMITS.min_processes


def test_short_peak_changes_nothing() -> None:
    """Pressure must last."""
    scale = step(PoolScale(1), PoolLoad(100), LIMITS, 0.0)
    scale = step(scale, PoolLoad(0), LIMITS, 1.0)
    assert step(scale, PoolLoad(100), LIMITS, 2.5).size == 1


@given(depth=st.integers(0, 200), size=st.integers(1, 4))
def test_steady_load_comes_to_rest(depth: int, size: int) -> None:
    """Whatever the load: the size stops changing, so that no process comes and goes for ever."""
    sizes = run(PoolLoad(depth), 1000, PoolScale(size))
    assert len(set(sizes[-200:])) == 1


@given(
    loads=st.lists(st.tuples(st.integers(0, 500), st.floats(0, 100), st.floats(0, 120)), max_size=60),
    size=st.integers(0, 9),
)
def test_size_stays_within_its_limits_and_moves_by_one(loads: list[tuple[int, float, float]], size: int) -> None:
    """Any load at any time."""
    scale, now = step(PoolScale(size), PoolLoad(0), LIMITS, 0.0), 0.0
    for depth, age_s, pause_s in loads:
        now += pause_s
        after = step(scale, PoolLoad(depth, age_s), LIMITS, now)
        assert LIMITS.min_processes <= after.size <= LIMITS.max_processes
        assert abs(after.size - scale.size) <= 1
        scale = after

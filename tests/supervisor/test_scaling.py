"""Autoscaling of a pool. Pure."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st
from trunkline_supervisor.core.scaling import PoolLoad, PoolScale, ScalingLimits, next_scale

LIMITS = ScalingLimits(min_processes=1, max_processes=4, queue_threshold=8, grow_after_s=2.0, shrink_after_s=60.0)


def run(load: PoolLoad, seconds: int, scale: PoolScale, start: float = 0.0) -> list[int]:
    sizes = []
    for second in range(seconds):
        scale = next_scale(scale, load, LIMITS, start + second)
        sizes.append(scale.size)
    return sizes


@pytest.mark.parametrize(
    "load", [PoolLoad(100), PoolLoad(1, age_s=3.0), PoolLoad(0, is_refused=True)], ids=["deep", "old", "refused"]
)
def test_lasting_high_load_grows_the_pool_to_its_maximum_one_process_at_a_time(load: PoolLoad) -> None:
    """Each step requires that the load has lasted."""
    sizes = run(load, 30, PoolScale(1))
    assert sizes[0] == 1
    assert sizes[-1] == LIMITS.max_processes
    assert all(after - before in {0, 1} for before, after in itertools.pairwise(sizes))


def test_low_load_shrinks_the_pool_after_a_longer_time() -> None:
    """Never below its minimum."""
    assert run(PoolLoad(0), 59, PoolScale(3))[-1] == 3
    assert run(PoolLoad(0), 1000, PoolScale(3))[-1] == LIMITS.min_processes


def test_short_peak_does_not_grow_the_pool() -> None:
    """High load has to last."""
    scale = next_scale(PoolScale(1), PoolLoad(100), LIMITS, 0.0)
    scale = next_scale(scale, PoolLoad(0), LIMITS, 1.0)
    assert next_scale(scale, PoolLoad(100), LIMITS, 2.5).size == 1


@given(depth=st.integers(0, 200), size=st.integers(1, 4))
def test_steady_load_leads_to_a_steady_size(depth: int, size: int) -> None:
    """For any constant load the size stops changing: no process is started and stopped repeatedly."""
    sizes = run(PoolLoad(depth), 1000, PoolScale(size))
    assert len(set(sizes[-200:])) == 1


@given(
    loads=st.lists(st.tuples(st.integers(0, 500), st.floats(0, 100), st.floats(0, 120)), max_size=60),
    size=st.integers(0, 9),
)
def test_size_stays_within_its_limits_and_moves_by_one(loads: list[tuple[int, float, float]], size: int) -> None:
    """For any load at any time."""
    scale, now = next_scale(PoolScale(size), PoolLoad(0), LIMITS, 0.0), 0.0
    for depth, age_s, pause_s in loads:
        now += pause_s
        after = next_scale(scale, PoolLoad(depth, age_s), LIMITS, now)
        assert LIMITS.min_processes <= after.size <= LIMITS.max_processes
        assert abs(after.size - scale.size) <= 1
        scale = after

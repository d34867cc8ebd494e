"""Restart policy: backoff and restart intensity. Pure."""

from __future__ import annotations

from trunkline_supervisor.core.restarts import (
    DEATH_WINDOW_S,
    MAX_DEATHS,
    MAX_DELAY_S,
    STABLE_AFTER_S,
    RestartIntensity,
    Restarts,
)


def test_delay_grows_to_its_maximum_and_resets_after_a_stable_run() -> None:
    """A process that dies repeatedly waits longer each time."""
    restarts, delays = Restarts(), []
    for _ in range(12):
        restarts = restarts.after_death(uptime_s=1.0)
        delays.append(restarts.delay_s)
    assert delays == sorted(delays)
    assert delays[-1] == MAX_DELAY_S
    assert restarts.after_death(uptime_s=2 * STABLE_AFTER_S).delay_s == delays[0]


def test_many_deaths_in_a_short_time_are_a_crash_loop() -> None:
    """The same number over a longer time is not, and a larger pool has a higher limit."""
    quick, slow = RestartIntensity(), RestartIntensity()
    for number in range(MAX_DEATHS + 1):
        quick = quick.after_death(now=float(number))
        slow = slow.after_death(now=number * DEATH_WINDOW_S)
    assert quick.is_crash_loop(processes=1)
    assert not quick.is_crash_loop(processes=2)
    assert not slow.is_crash_loop(processes=1)

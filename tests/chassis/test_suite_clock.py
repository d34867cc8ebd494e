"""The time of the suite: the own wall clock, unless most other processes are far from it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from trunkline_chassis import presence as registry_module
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.suite_clock import SuiteClock
from trunkline_protocols import codec, subjects
from trunkline_protocols.presence import Presence, ProcessState

NOW = 1_800_000_000.0
HOUR_S = 3_600.0


class Readings(PresenceRegistry):
    """Clocks of other processes, as differences from the right time, read at the monotonic time 0."""

    def __init__(self, *differences_s: float) -> None:
        super().__init__()
        self.values = [NOW + difference for difference in differences_s]

    def clock_readings(self) -> list[float]:
        """Return the wall clocks less the monotonic time."""
        return self.values


class Host:
    """A process of a host, whose wall clock can be set."""

    def __init__(self, *others_s: float, own_s: float = 0.0) -> None:
        self.monotonic, self.own_s = 0.0, own_s
        self.readings = Readings(*others_s)
        self.clock = SuiteClock(
            self.readings, wall=lambda: NOW + self.monotonic + self.own_s, monotonic=lambda: self.monotonic
        )

    @property
    def error_s(self) -> float:
        """How far the clock of the suite is from the right time."""
        return self.clock.time() - NOW - self.monotonic


@pytest.mark.parametrize("own_s", [-HOUR_S, -6, 6, HOUR_S])
def test_process_of_a_wrong_host_takes_the_time_of_most_others(own_s: float) -> None:
    """Two hosts of three are right; all have as many processes."""
    assert Host(own_s, own_s, 0.0, 0.001, 0.0, -0.002, own_s=own_s).error_s == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("other_s", [-HOUR_S, HOUR_S])
def test_process_of_a_right_host_keeps_its_time(other_s: float) -> None:
    """The wrong host cannot outvote the two others."""
    assert Host(other_s, other_s, 0.0, 0.0, 0.0, 0.0).error_s == 0.0


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_jump_of_the_own_clock_is_corrected_at_once(jump_s: float) -> None:
    """The others were read before it."""
    host = Host(0.0, 0.0, 0.0)
    assert host.error_s == 0.0
    host.monotonic, host.own_s = 0.1, jump_s
    assert host.error_s == pytest.approx(0, abs=0.01)


def test_heartbeats_that_were_held_up_change_nothing() -> None:
    """A server that was frozen delivers those of ten seconds ago; the next ones are on time."""
    host = Host(0.0, 0.0, 0.0)
    errors = [host.error_s]
    for late_s in (-10.0, 0.0):
        host.readings.values = [NOW + late_s] * 3
        host.monotonic += 1
        errors.append(host.error_s)
    assert errors == [0.0, 0.0, 0.0]


def test_clocks_of_most_processes_count_once_they_have_been_seen_twice() -> None:
    """They were set while this process ran."""
    host = Host(0.0, 0.0, 0.0)
    errors = [host.error_s]
    host.readings.values = [NOW + HOUR_S] * 3
    for _ in range(2):
        host.monotonic += 1
        errors.append(host.error_s)
    assert errors == [0.0, 0.0, HOUR_S]


def test_small_differences_are_left() -> None:
    """A heartbeat takes a moment, so no clock is better than the own one."""
    assert Host(0.0, 0.0, 0.0, own_s=4.0).error_s == 4.0


@pytest.mark.parametrize("others_s", [(), (0.0,), (0.0, 0.0)])
def test_own_clock_counts_without_a_majority(others_s: tuple[float, ...]) -> None:
    """A service that watches no presences knows no other clock, and of two none is the right one."""
    assert Host(*others_s, own_s=HOUR_S).error_s == HOUR_S


async def test_registry_reads_the_clocks_of_running_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A death is published by the supervisor, with its own clock."""
    registry, at = PresenceRegistry(), time.time() + HOUR_S
    states: dict[str, ProcessState] = {"rag-1": "ready", "rag-2": "draining", "rag-3": "failed", "rag-4": "stopped"}
    for instance, state in states.items():
        presence = Presence(
            service="rag", instance=instance, pid=1, state=state, version="0", node="a", started_at=0.0, at=at
        )
        message: Any = SimpleNamespace(data=codec.encode(presence), subject=subjects.presence("rag", instance))
        await registry._on_message(message)
    assert registry.clock_readings() == [pytest.approx(at - time.monotonic(), abs=5)] * 2
    monkeypatch.setattr(registry_module, "HEARTBEAT_TIMEOUT_S", 0.0)
    assert registry.clock_readings() == []

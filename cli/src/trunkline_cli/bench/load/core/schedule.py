"""Intended moments of turns: a function of profile, kind and seed, independent of the number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, Literal, NamedTuple, Protocol, get_args

from trunkline_cli.bench.load.core.profile import Phase

Arrivals = Literal["steady", "poisson"]
ARRIVALS: Final[tuple[Arrivals, ...]] = get_args(Arrivals)


class Draws(Protocol):
    """Source of random numbers."""

    def expovariate(self, lambd: float) -> float:
        """Draw from the exponential distribution with a rate."""


class Arrival(NamedTuple):
    """A turn to send: its intended moment in seconds after the start, and its phase by position in the profile."""

    at_s: float
    phase: int


def arrivals(phases: Sequence[Phase], kind: Arrivals, draws: Draws) -> Iterator[Arrival]:
    """Yield all turns of a profile in order.

    The expected number of turns grows with the profile's rate. `steady` sends one whenever it has grown by one,
    `poisson` whenever it has grown by an exponentially distributed step of mean one.
    """
    steps = _steady_steps() if kind == "steady" else _poisson_steps(draws)
    expected = next(steps)
    start_s = turns_before = 0.0
    for number, phase in enumerate(phases):
        while expected < turns_before + phase.turns:
            yield Arrival(start_s + phase.seconds_until(expected - turns_before), number)
            expected = next(steps)
        start_s += phase.seconds
        turns_before += phase.turns


def share_of(all_arrivals: Iterator[Arrival], process: int, processes: int) -> Iterator[Arrival]:
    """Yield the turns of one of several processes: each takes every n-th, so that together they send exactly all."""
    for number, arrival in enumerate(all_arrivals):
        if number % processes == process:
            yield arrival


def _steady_steps() -> Iterator[float]:
    """Yield half-way between whole numbers: as many turns as expected, and none at the very beginning or end."""
    return (number + 0.5 for number in count())


def _poisson_steps(draws: Draws) -> Iterator[float]:
    expected = 0.0
    while True:
        expected += draws.expovariate(1.0)
        yield expected

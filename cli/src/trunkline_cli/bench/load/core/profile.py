"""Profile of a load: phases with a rate that is constant or changes evenly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

_PHASE: Final = re.compile(r"(ramp|hold|burst):([0-9.]+)(?:-([0-9.]+))?/([0-9.]+)(s|m|h)")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0}
_EXAMPLE: Final = "ramp:0-200/60s,hold:200/5m,burst:1000/10s"
MAX_RATE: Final = 100_000.0
MAX_SECONDS: Final = 7 * 86_400.0


class ProfileError(ValueError):
    """A profile that cannot be read; the message names the phase."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the load: turns per second at its beginning and at its end."""

    kind: str
    first_rate: float
    last_rate: float
    seconds: float

    @property
    def turns(self) -> float:
        """Expected number of turns."""
        return (self.first_rate + self.last_rate) / 2 * self.seconds

    @property
    def name(self) -> str:
        """The phase as it is written in a profile."""
        rate = f"{self.first_rate:g}" + (f"-{self.last_rate:g}" if self.kind == "ramp" else "")
        return f"{self.kind}:{rate}/{self.seconds:g}s"

    def seconds_until(self, turns: float) -> float:
        """Return the time after which a number of turns, at most all of them, is expected."""
        slope = (self.last_rate - self.first_rate) / self.seconds
        # The form without cancellation: it holds for a slope of 0 too.
        root = sqrt(max(0.0, self.first_rate**2 + 2 * slope * turns))
        return min(self.seconds, 2 * turns / (self.first_rate + root)) if turns > 0 else 0.0


def constant(rate: float, seconds: float) -> tuple[Phase, ...]:
    """Return the profile of one rate."""
    return (Phase("hold", rate, rate, seconds),)


def parse_profile(text: str) -> tuple[Phase, ...]:
    """Read phases such as `ramp:0-200/60s,hold:200/5m,burst:1000/10s`: kind, turns per second, duration.

    Raises:
        ProfileError: if a phase cannot be read, has no duration, or no phase sends a turn.

    """
    phases = tuple(_parse_phase(number, part.strip()) for number, part in enumerate(text.split(","), start=1))
    if sum(phase.turns for phase in phases) <= 0:
        raise ProfileError(f"{text!r}: no phase has a rate over 0")
    if sum(phase.seconds for phase in phases) > MAX_SECONDS:
        raise ProfileError(f"{text!r}: longer than seven days")
    return phases


def _parse_phase(number: int, text: str) -> Phase:
    where = f"phase {number}, {text!r}"
    found = _PHASE.fullmatch(text)
    if found is None:
        raise ProfileError(f"{where}: must be kind:rate/duration as in {_EXAMPLE}")
    kind, first, last, duration, unit = found.groups()
    if (kind == "ramp") != (last is not None):
        form = "two rates, as in ramp:0-200/60s" if kind == "ramp" else f"one rate, as in {kind}:200/60s"
        raise ProfileError(f"{where}: {kind} has {form}")
    try:
        phase = Phase(kind, float(first), float(last or first), float(duration) * _SECONDS[unit])
    except ValueError as error:
        raise ProfileError(f"{where}: {error}") from error
    if max(phase.first_rate, phase.last_rate) > MAX_RATE:
        raise ProfileError(f"{where}: over {MAX_RATE:g} turns per second")
    if phase.seconds <= 0:
        raise ProfileError(f"{where}: has no duration")
    return phase


def seconds_of(phases: Sequence[Phase]) -> float:
    """Return the duration of a profile."""
    return sum(phase.seconds for phase in phases)


def mean_rate(phases: Sequence[Phase]) -> float:
    """Return the expected turns per second over the whole profile."""
    return sum(phase.turns for phase in phases) / seconds_of(phases)

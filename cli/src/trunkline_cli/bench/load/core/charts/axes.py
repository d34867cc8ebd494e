"""Axes: positions of values between 0 and 1, and labelled ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

_STEPS: Final = (1.0, 2.0, 5.0, 10.0)
_TICKS: Final = 5
_MAX_TICKS_OF_LOG: Final = 8
_SHARES: Final = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
_MIN_NINES: Final = 2


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled value of an axis; `at` between 0 and 1."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A labelled axis; `place` maps a value to its position, and values outside to the nearest end."""

    label: str
    ticks: Sequence[Tick]
    place: Callable[[float], float]


def number_text(value: float) -> str:
    """Return a number as people write it: thousands apart, no needless digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough


def linear_axis(label: str, highest: float) -> Axis:
    """Return an axis from 0 to a round value at or over the highest one."""
    step = _round_step(max(highest, 1e-9) / _TICKS)
    end = step * ceil(max(highest, 1e-9) / step - 1e-9)
    ticks = [Tick(number * step / end, number_text(number * step)) for number in range(round(end / step) + 1)]
    return Axis(label, ticks, lambda value: _inside(value / end))


def log_axis(label: str, lowest: float, highest: float) -> Axis:
    """Return a logarithmic axis between powers of ten, labelled at 1, 2 and 5 if they fit; bounds over 0."""
    first, last = floor(log10(lowest) + 1e-9), ceil(log10(highest) - 1e-9)
    last = max(last, first + 1)
    width = last - first
    steps = (1, 2, 5) if width * len(_STEPS) <= _MAX_TICKS_OF_LOG + len(_STEPS) else (1,)
    values = [step * 10.0**decade for decade in range(first, last) for step in steps] + [10.0**last]

    def place(value: float) -> float:
        return _inside((log10(value) - first) / width) if value > 0 else 0.0

    return Axis(label, [Tick(place(value), number_text(value)) for value in values], place)


def percentile_axis(label: str, turns: int) -> Axis:
    """Return an axis of shares of turns on which each further nine takes the same width.

    It ends at the share that `turns` turns can show: 99.9 % for a thousand.
    """
    nines = max(_MIN_NINES, min(6.0, log10(max(1, turns))))

    def place(share: float) -> float:
        return _inside(-log10(max(1e-12, 1.0 - share)) / nines)

    shown = [share for share in _SHARES if -log10(1.0 - share) <= nines + 1e-9]
    return Axis(label, [Tick(place(share), f"{share * 100:g} %") for share in shown], place)


def _round_step(raw: float) -> float:
    magnitude = 10.0 ** floor(log10(raw))
    return next(step * magnitude for step in _STEPS if step * magnitude >= raw * (1 - 1e-9))


def _inside(position: float) -> float:
    return min(1.0, max(0.0, position))

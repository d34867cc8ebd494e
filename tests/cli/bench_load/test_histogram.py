"""Histograms of durations: within 0.1 %, exact sums, the text form of HdrHistogram."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given, strategies as st
from trunkline_cli.bench.load.core.histogram import MAX_US, Histogram, HistogramError

DURATIONS_MS = st.lists(st.integers(0, 600_000_000).map(lambda us: us / 1000), max_size=60)

BY_HDRHISTOGRAM = "HISTFAAAADh4nJNpmSzMwMAgzgABzFCaEURcm7yEwf4DRICJiem7PBPLX36mg8xMK6VYdoYx7TzGyAQAA2YK7g=="
"""Version 0.10.8 of the Python package, 1 µs to an hour, three digits, with these values."""
VALUES_US = (0, 1, 2, 2_047, 2_048, 2_049, 4_096, 5_000, 15_300, 15_301, 667_000, MAX_US)


def test_text_of_hdrhistogram_is_read_and_written() -> None:
    """The layout of positions and the numbers of the text are those of the library."""
    histogram = Histogram.of(value / 1000 for value in VALUES_US)
    assert Histogram.decode(BY_HDRHISTOGRAM, MAX_US / 1000) == histogram
    assert Histogram.decode(histogram.encode(), histogram.max_ms) == histogram
    # As the library reports them: the highest value of a position.
    assert [histogram.percentile_ms(at) for at in (10, 50, 75, 90)] == [0.001, 2.049, 15.303, 667.135]


@given(DURATIONS_MS, st.floats(0.1, 100))
def test_percentile_is_the_nearest_rank_within_a_thousandth(values: list[float], percent: float) -> None:
    """Never below the true value, never over the maximum."""
    histogram = Histogram.of(values)
    if not values:
        assert histogram.percentile_ms(percent) == 0.0
        return
    exact = sorted(values)[max(0, ceil(round(len(values) * percent / 100, 6)) - 1)]
    assert exact <= histogram.percentile_ms(percent) + 1e-9
    assert histogram.percentile_ms(percent) <= exact * 1.001 + 1e-9
    assert histogram.percentile_ms(100) == pytest.approx(max(values), rel=1e-9)


@given(DURATIONS_MS, DURATIONS_MS)
def test_sum_of_two_is_the_histogram_of_all(one: list[float], other: list[float]) -> None:
    """Results of several processes lose nothing."""
    total = Histogram.of(one)
    total.add(Histogram.of(other))
    assert total == Histogram.of([*one, *other])
    assert Histogram.decode(total.encode(), total.max_ms) == total


@given(DURATIONS_MS)
def test_cumulative_shares_rise_to_one(values: list[float]) -> None:
    """Each recorded position once, in order."""
    curve = list(Histogram.of(values).cumulative())
    assert curve == sorted(curve)
    assert not values or curve[-1][1] == 1.0


def test_negative_and_endless_durations_are_counted_at_the_borders() -> None:
    """An overhead may be below 0 by the precision of clocks."""
    histogram = Histogram.of([-0.4, 10 * MAX_US / 1000])
    assert histogram.count == 2
    assert histogram.percentile_ms(50) == 0.0


@pytest.mark.parametrize("text", ["", "x", "AAAA", BY_HDRHISTOGRAM[:-8], BY_HDRHISTOGRAM.replace("HIST", "HISA")])
def test_damaged_text_is_refused(text: str) -> None:
    """Never another error."""
    with pytest.raises(HistogramError):
        Histogram.decode(text)


@given(st.binary(max_size=80))
def test_random_bytes_raise_the_one_error(raw: bytes) -> None:
    """Also behind a valid beginning."""
    histogram = Histogram.of([1.0, 5.0]).encode()
    for text in (raw.decode("latin-1"), histogram[: len(histogram) // 2] + raw.hex()):
        with pytest.raises(HistogramError):
            Histogram.decode(text)

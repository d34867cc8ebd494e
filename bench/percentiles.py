"""Percentiles of a bench's report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def percentiles(values: Iterable[float], at: Sequence[int] = (50, 95), *, digits: int = 2) -> dict[str, float]:
    """Return nearest-rank percentiles by name, such as `p50`; empty if there are no values."""
    ordered = sorted(values)
    return {f"p{percent}": round(ordered[len(ordered) * percent // 100], digits) for percent in at if ordered}

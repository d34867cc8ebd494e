"""What a run tells: each way by itself, and how much more one takes than another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from bench.llm_gateway.load import Asked

_PERCENTILES: Final = (50, 95, 99)

_LESS: Final = {
    "bare_proxy_ms": ("bare_proxy", "direct"),
    "gateway_own_ms": ("in_process", "direct"),
    "gateway_with_bus_ms": ("gateway", "direct"),
    "litellm_own_ms": ("litellm", "direct"),
    "bare_proxy_slow_ms": ("bare_proxy_slow", "direct_slow"),
    "litellm_own_slow_ms": ("litellm_slow", "direct_slow"),
    "gateway_with_bus_slow_ms": ("gateway_slow", "direct_slow"),
}
"""Differences: of which way, less which."""


@dataclass
class Taken:
    """What was measured of one way, over all rounds."""

    overhead_ms: list[float] = field(default_factory=list)
    """What the asker waited less what the model took."""
    errors: list[str] = field(default_factory=list)
    used_s: float = 0.0
    """CPU of what is between asker and model."""

    def add(self, asked: Asked, took_ms: dict[str, float], used_s: float) -> None:
        """Take one round; `took_ms` is the model's own time by the answer's name."""
        self.overhead_ms += [waited - took_ms.get(name, 0.0) for name, waited in asked.waited_ms.items()]
        self.errors += asked.errors
        self.used_s += used_s


def measured(taken: Taken) -> dict[str, Any]:
    """Sum up one way."""
    return {
        "answered": len(taken.overhead_ms),
        "errors": len(taken.errors),
        "error_samples": taken.errors[:3],
        "overhead_ms": _percentiles(taken.overhead_ms),
        "cpu_us_per_request": round(taken.used_s * 1e6 / max(1, len(taken.overhead_ms)), 1),
    }


def compared(ways: dict[str, dict[str, Any]], chunks: int) -> dict[str, Any]:
    """How much more one way takes than another, percentile by percentile, and what a chunk of `chunks` costs."""
    report: dict[str, Any] = {
        name: {at: round(ms - ways[other]["overhead_ms"][at], 3) for at, ms in ways[way]["overhead_ms"].items()}
        for name, (way, other) in _LESS.items()
        if way in ways
    }
    if chunks > 1:
        more_us = ways["gateway"]["cpu_us_per_request"] - ways["gateway_one_chunk"]["cpu_us_per_request"]
        report["gateway_cpu_us_per_chunk"] = round(more_us / (chunks - 1), 1)
    return report


def abandoned(gone_at: dict[str, float], left_at: dict[str, float]) -> dict[str, float]:
    """How long after its asker left the model's connection was closed, in milliseconds."""
    took_ms = sorted((left_at[name] - at) * 1000 for name, at in gone_at.items() if name in left_at)
    report: dict[str, float] = {"runs": len(gone_at), "closed": len(took_ms)}
    if took_ms:
        report |= {"p50": round(took_ms[len(took_ms) // 2], 3), "max": round(took_ms[-1], 3)}
    return report


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        f"p{at}": round(ordered[min(len(ordered) - 1, len(ordered) * at // 100)], 3) for at in _PERCENTILES if ordered
    }

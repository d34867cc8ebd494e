"""What a run tells: each way by itself, and how much more one takes than another."""

from __future__ import annotations

from collections.abc import Iterable
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


def measured(asked: Asked, took_ms: dict[str, float], used_s: float) -> dict[str, Any]:
    """Sum up one way: `took_ms` is the model's own time by the answer's name, `used_s` the CPU of what is between."""
    return {
        "answered": len(asked.waited_ms),
        "errors": len(asked.errors),
        "error_samples": asked.errors[:3],
        "overhead_ms": _percentiles(waited - took_ms.get(name, 0.0) for name, waited in asked.waited_ms.items()),
        "cpu_us_per_request": round(used_s * 1e6 / max(1, len(asked.waited_ms)), 1),
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
